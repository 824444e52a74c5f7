"""Files of the run directory, logs and `.env`."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest

from intccms.errors import OutputError
from intccms.utils.files import atomic_path, write_atomically
from intccms.utils.logging import log_to
from intccms.utils.output import RunDirectory


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "deep" / "file.txt"

    def stop_half_way():
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_half_way()
    assert list(target.parent.iterdir()) == []
    write_atomically(target, b"whole")
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]


def test_a_folder_that_cannot_be_made_is_an_output_error_naming_it(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write .*file/x.json.*Check space and permissions"):
        write_atomically(tmp_path / "file" / "x.json", b"")


def test_numbers_that_json_lacks_become_null(tmp_path):
    directory = RunDirectory(tmp_path)
    directory.write_json(tmp_path / "x.json", {"a": float("nan"), "b": [float("inf"), 1.5], "c": ("x", 2)})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": None, "b": [None, 1.5], "c": ["x", 2]}


def test_what_is_logged_in_the_block_is_in_the_file_and_nothing_else(tmp_path):
    logger = logging.getLogger("intccms.something")
    with log_to(tmp_path / "logs" / "run.log"):
        logger.warning("in %s", "side")
    logger.warning("outside")
    text = (tmp_path / "logs" / "run.log").read_text()
    assert "WARNING intccms.something: in side" in text
    assert "outside" not in text


def test_credentials_are_not_in_the_log_nor_in_its_tracebacks(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_STORE_SECRET", "Hidden/0123456789")
    logger = logging.getLogger("intccms.something")
    with log_to(tmp_path / "run.log"):
        try:
            {}["Hidden/0123456789"]
        except KeyError:
            logger.exception("cannot use %s with token=abc", "Hidden/0123456789")
    text = (tmp_path / "run.log").read_text()
    assert "cannot use *** with token=***" in text
    assert "KeyError: '***'" in text
    assert "Hidden" not in text


def test_the_command_line_reads_dotenv_in_the_current_folder(tmp_path):
    (tmp_path / ".env").write_text("INTCCMS_TEST_PROCESS=from_dotenv\n")
    (tmp_path / "conf.py").write_text(
        "import os\n"
        "config = {'datasets': {'datasets': [{'name': os.environ['INTCCMS_TEST_PROCESS'], 'files': ['a.root'],"
        " 'is_data': True}]}, 'channels': [{'name': 'c'}]}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "intccms", "config", "show", "conf.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["datasets"]["datasets"][0]["name"] == "from_dotenv"
