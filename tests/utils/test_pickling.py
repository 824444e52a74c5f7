"""Pickles of users' functions carry no environment along, and the environment is copied as ever."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from os import environ

import cloudpickle
import pytest

from intccms.utils.pickling import pickled_by_value


def reads(name):
    return environ.get(name)


@pytest.fixture(autouse=True)
def by_value():
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def test_a_function_with_the_environment_reads_that_of_the_process_it_is_in(monkeypatch):
    monkeypatch.setenv("INTCCMS_TEST_PLACE", "only-the-client")
    content = pickled_by_value(reads)
    assert b"only-the-client" not in content
    assert b"only-the-client" in cloudpickle.dumps(reads), "what would be sent otherwise"
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer)('INTCCMS_TEST_PLACE'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=content,
        env={**os.environ, "INTCCMS_TEST_PLACE": "the worker"},
        stdout=subprocess.PIPE,
        check=True,
    )
    assert done.stdout.split(b"\n")[0] == b"the worker"


def test_the_environment_itself_is_the_same_object_there():
    assert pickle.loads(pickled_by_value(os.environ)) is os.environ


def test_other_copies_of_the_environment_stay_copies():
    assert copy.deepcopy(os.environ) is not os.environ


def test_code_keeps_the_name_of_its_file():
    def outer():
        return lambda: None

    again = pickle.loads(pickled_by_value(outer))
    assert again is not outer
    assert (again.__code__.co_filename, again().__code__.co_filename) == (__file__, __file__)
