"""Opening input files on XRootD: limits that hold in every process, and servers that are down."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest
import uproot

from intccms.datasets import sources
from intccms.datasets.sources import open_root
from intccms.utils.xrootd import is_xrootd


@pytest.fixture
def url(xrootd_server, tmp_path):
    with uproot.recreate(tmp_path / "events.root") as file:
        for name in ("first", "second"):
            file.mktree(name, {"x": "f4"}).extend({"x": np.arange(20_000, dtype="f4")})
    (xrootd_server.files / "events.root").write_bytes((tmp_path / "events.root").read_bytes())
    return f"{xrootd_server.url}/events.root"


def in_a_new_process(code, **variables):
    """Return what a process prints that has these variables and no other ones of XRootD."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XRD_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, **variables},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.split()


SHOW = """
from XRootD.client.env import EnvGetInt
print(*(EnvGetInt(name) for name in ("ConnectionWindow", "RequestTimeout", "StreamErrorWindow")))
"""
OURS = ["5", "30", "5"]


class TestLimits:
    """`set_limits`: what XRootD's client says of its own settings."""

    @pytest.mark.parametrize(
        "user",
        [
            "from intccms.utils.storage import Storage; Storage('root://127.0.0.1:9//store')._remote('root://127.0.0.1:9')",
            "from intccms.utils.xrootd import set_limits; set_limits()",
            "import XRootD.client; from intccms.utils.xrootd import set_limits; set_limits()",
        ],
        ids=["storage", "first", "imported before"],
    )
    def test_they_hold_whoever_imports_the_client(self, user):
        assert in_a_new_process(f"{user}\n{SHOW}") == OURS

    def test_what_the_user_has_set_stays(self):
        code = f"from intccms.utils.xrootd import set_limits; set_limits(){SHOW}"
        assert in_a_new_process(code, XRD_CONNECTIONWINDOW="77", XRD_REQUESTTIMEOUT="88") == ["77", "88", "5"]

    def test_a_child_process_has_them_too(self):
        code = f"""
import subprocess, sys
from intccms.utils.xrootd import set_limits
set_limits()
subprocess.run([sys.executable, "-c", {SHOW!r}], check=True)
"""
        assert in_a_new_process(code) == OURS

    @pytest.mark.parametrize(
        ("name", "expected"),
        [("root://host//a", True), ("xroot://host//a", True), ("https://host/a", False), ("/root/a", False)],
    )
    def test_they_are_for_urls_of_xrootd(self, name, expected):
        assert is_xrootd(name) is expected


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(sources, "PATIENCE", 2)


def test_a_server_that_hangs_is_an_error_in_a_bounded_time(xrootd_server, url, short):
    directory = open_root(url)
    tree = directory["first"]
    # the first read asks for the limits of the server, with no time-out but XRD_REQUESTTIMEOUT, 30 s
    directory["second"]["x"].array()
    xrootd_server.hang()
    start = time.perf_counter()
    with pytest.raises(OSError, match="Operation expired"):
        tree["x"].array()
    with pytest.raises(OSError, match="Operation expired"):
        open_root(url)
    assert time.perf_counter() - start < 2 * 3 + 5
    xrootd_server.go_on()
    # at once, though fsspec-xrootd would give the broken handle for half a minute
    assert open_root(url)["second"].num_entries == 20_000


def test_a_server_that_is_killed_is_an_error_in_a_bounded_time_and_comes_back(xrootd_server, url, short):
    open_root(url)
    xrootd_server.kill()
    start = time.perf_counter()
    with pytest.raises(OSError, match="Operation expired|Connection error"):
        open_root(url)
    assert time.perf_counter() - start < 8
    xrootd_server.restart()
    while time.perf_counter() - start < 25:
        try:
            assert open_root(url)["second"].num_entries == 20_000
            break
        except OSError:
            time.sleep(0.3)
    else:
        pytest.fail("the file cannot be read after the server is back")


READ_FROM_S3 = """
import sys, time
from intccms.datasets import SourceFile, open_source
source = open_source(SourceFile("x", (sys.argv[1],)), "second")
print(source.entries, flush=True)
input()
for action in (
    lambda: source.arrays(["x"], 0, source.entries),
    lambda: open_source(SourceFile("y", (sys.argv[1].replace("events", "other"),)), "second"),
):
    start = time.monotonic()
    try:
        action()
    except OSError as exc:
        print(time.monotonic() - start)
"""


def test_input_on_s3_whose_server_hangs_is_an_error_in_a_bounded_time(s3_server, delay_proxy, tmp_path):
    for name in ("events", "other"):
        with uproot.recreate(tmp_path / f"{name}.root") as file:
            file.mktree("second", {"x": "f4"}).extend({"x": np.arange(200_000, dtype="f4")})
        (s3_server.files / f"bucket/{name}.root").write_bytes((tmp_path / f"{name}.root").read_bytes())
    slow = delay_proxy(s3_server.port)
    process = subprocess.Popen(
        [sys.executable, "-c", READ_FROM_S3, "s3://bucket/events.root"],
        env={**os.environ, **s3_server.environment(port=slow.port), "INTCCMS_PATIENCE": "3"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "200000\n"
    slow.hang()
    printed, _ = process.communicate("\n", timeout=60)
    reading, opening = map(float, printed.split())
    # with the limits of the libraries it takes half an hour
    assert reading < 15
    assert opening < 15


def test_a_process_ends_although_its_server_hangs(xrootd_server, url):
    code = f"""
from intccms.datasets.sources import open_root
directory = open_root({url!r}, timeout=1)
print("open", flush=True)
input()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "XRD_REQUESTTIMEOUT": "2"},  # with our 30 s it takes 32 s
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"open\n"
    xrootd_server.hang()
    start = time.perf_counter()
    process.communicate(b"\n", timeout=60)
    assert process.returncode == 0
    assert time.perf_counter() - start < 20
