"""What is fetched ahead: once, for the thread that asked, with its errors where it is used."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from intccms.skimming.ahead import ReadAhead


class Shelf:
    """Gives things, and notes the threads that asked for them."""

    def __init__(self):
        self.asked = []
        self.open = threading.Event()
        self.open.set()

    def fetch(self, name):
        def fetched():
            self.asked.append((name, threading.current_thread() is threading.main_thread()))
            self.open.wait(10)
            if name == "absent":
                raise FileNotFoundError(name)
            return name.upper()

        return fetched


@pytest.fixture
def shelf():
    return Shelf()


@pytest.fixture
def ahead():
    return ReadAhead()


def test_what_was_begun_is_fetched_once_and_elsewhere(ahead, shelf):
    ahead.begin("a", shelf.fetch("a"))
    while not shelf.asked:
        pass
    assert ahead.take("a", shelf.fetch("a")) == "A"
    assert shelf.asked == [("a", False)]


def test_what_was_taken_last_serves_again_and_nothing_before_it(ahead, shelf):
    """As a file does that holds several parts."""
    for name in "aabba":
        ahead.begin(name, shelf.fetch(name))
        assert ahead.take(name, shelf.fetch(name)) == name.upper()
    assert [name for name, _ in shelf.asked] == ["a", "b", "a"]


def test_what_could_not_be_fetched_is_fetched_again(ahead, shelf):
    for _ in range(2):
        with pytest.raises(FileNotFoundError, match="absent"):
            ahead.take("absent", shelf.fetch("absent"))
    assert len(shelf.asked) == 2


def test_something_else_is_fetched_here_and_drops_nothing(ahead, shelf):
    ahead.begin("a", shelf.fetch("a"))
    while not shelf.asked:
        pass
    assert ahead.take("b", shelf.fetch("b")) == "B"
    assert ahead.take("a", shelf.fetch("a")) == "A"
    assert shelf.asked == [("a", False), ("b", True)]


def test_two_are_held_and_the_oldest_is_dropped(ahead, shelf):
    for name in "abc":
        ahead.begin(name, shelf.fetch(name))
        while len(shelf.asked) < "abc".index(name) + 1:
            pass
    assert [ahead.take(name, shelf.fetch(name)) for name in "bca"] == ["B", "C", "A"]
    assert shelf.asked == [("a", False), ("b", False), ("c", False), ("a", True)]


def test_what_waits_for_its_turn_is_fetched_here(ahead, shelf):
    """As on a worker with several threads: another one's part is on its way and takes its time."""
    shelf.open.clear()
    with ThreadPoolExecutor(1) as other:
        other.submit(ahead.begin, "slow", shelf.fetch("slow")).result()
        while not shelf.asked:
            pass
        ahead.begin("a", shelf.fetch("a"))
        assert ahead.take("a", lambda: "here") == "here"
        shelf.open.set()
        assert other.submit(ahead.take, "slow", shelf.fetch("slow")).result() == "SLOW"
    assert shelf.asked == [("slow", False)]


def test_errors_come_where_it_is_used(ahead, shelf):
    ahead.begin("absent", shelf.fetch("absent"))
    with pytest.raises(FileNotFoundError, match="absent"):
        ahead.take("absent", shelf.fetch("absent"))
