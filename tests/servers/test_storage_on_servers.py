"""What `Storage` promises, on a disk, on S3 and on XRootD: files that are whole or absent."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest

from intccms.errors import OutputError
from intccms.utils.storage import Storage

PATTERN_SIZE = 300_000


def python(code: str, *arguments: str) -> subprocess.Popen:
    """Start a process that has ``storage``, unpickled, and its further arguments in ``argv``."""
    head = "import pickle, sys; storage = pickle.loads(bytes.fromhex(sys.argv[1])); argv = sys.argv[2:]\n"
    return subprocess.Popen([sys.executable, "-c", head + code, *arguments])


class StorageContract:
    """Inherited by one class per place."""

    def test_what_is_put_can_be_got_listed_and_removed(self, storage):
        storage.put("tt/file_0/part_0.parquet", b"abc")
        storage.put("tt/file_1/part_2.parquet", b"12345")
        storage.put("data/manifest.json", b"")
        assert storage.get("tt/file_0/part_0.parquet") == b"abc"
        assert storage.get("data/manifest.json") == b""
        assert storage.size("tt/file_1/part_2.parquet") == 5
        tt = {"tt/file_0/part_0.parquet": 3, "tt/file_1/part_2.parquet": 5}
        assert storage.sizes("tt") == tt
        assert storage.sizes("tt/file_1") == {"tt/file_1/part_2.parquet": 5}
        assert storage.sizes() == {**tt, "data/manifest.json": 0}
        storage.delete(["tt/file_0/part_0.parquet", "tt/file_9/part_9.parquet"])
        assert storage.sizes("tt") == {"tt/file_1/part_2.parquet": 5}
        assert storage.size("tt/file_0/part_0.parquet") is None

    def test_putting_again_replaces_what_was_read_before(self, storage):
        for content in (b"first", b"a longer one", b"x"):
            storage.put("tt/a", content)
            assert storage.get("tt/a") == content
            assert storage.size("tt/a") == len(content)
        assert storage.sizes() == {"tt/a": 1}

    def test_what_is_absent_is_told_apart(self, storage, tmp_path):
        storage.put("b", b"")
        assert storage.size("tt/a") is None
        assert storage.sizes("tt") == {}
        assert storage.stale_temporaries(-60) == []
        with pytest.raises(FileNotFoundError, match=r"tt/a does not exist"):
            storage.get("tt/a")
        with pytest.raises(FileNotFoundError, match=r"tt/a does not exist"):
            storage.download("tt/a", tmp_path / "copy")
        storage.delete(["tt/a"])

    def test_an_absent_folder_holds_nothing(self, storage):
        assert storage.sizes() == storage.sizes("tt") == {}

    def test_large_files_come_back_the_same(self, storage, tmp_path):
        content = os.urandom(2**20) * 21 + b"end"  # more than one request for every protocol
        with storage.staged("tt/large") as path:
            path.write_bytes(content)
        assert storage.size("tt/large") == len(content)
        assert storage.get("tt/large") == content
        storage.download("tt/large", tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == content

    def test_a_block_that_fails_leaves_what_was_there(self, storage):
        storage.put("tt/a", b"old")

        def write():
            with storage.staged("tt/a") as temporary:
                temporary.write_bytes(b"half")
                message = "in the middle"
                raise RuntimeError(message)

        with pytest.raises(RuntimeError, match="in the middle"):
            write()
        assert storage.get("tt/a") == b"old"
        assert storage.sizes() == {"tt/a": 3}
        assert storage.stale_temporaries(-60) == []

    def test_writers_of_the_same_name_are_never_mixed(self, storage):
        """Three processes write files of one repeated byte each; whoever reads sees one of them, and all of it."""
        code = f"""
for _ in range(6):
    storage.put("tt/a", argv[0].encode() * {PATTERN_SIZE})
"""
        storage.put("tt/a", b"z" * PATTERN_SIZE)
        packed = pickle.dumps(storage).hex()
        writers = [python(code, packed, letter) for letter in "abc"]
        seen = set()
        while any(writer.poll() is None for writer in writers):
            time.sleep(0.02)
            content = storage.get("tt/a")
            assert content == content[:1] * PATTERN_SIZE
            seen.add(content[:1])
        assert [writer.returncode for writer in writers] == [0] * 3
        assert len(seen) > 1
        assert storage.sizes() == {"tt/a": PATTERN_SIZE}


class RemoteContract(StorageContract):
    """What needs a proxy before the server as ``slow``, with its storage as ``behind``.

    ``ROUND_TRIPS`` are as many as each action may cost: what waits for a far server costs those, wherever it is.
    """

    ROUND_TRIPS: ClassVar[dict[str, int]]

    def test_a_writer_that_is_killed_leaves_nothing_under_the_name(self, storage, behind, slow):
        packed = pickle.dumps(behind).hex()
        slow.hang(after=3_000_000)
        writer = python("storage.put('tt/a', bytes(20_000_000))", packed)
        end = time.monotonic() + 30
        while slow.passed < 3_000_000 and time.monotonic() < end:
            time.sleep(0.02)
        writer.send_signal(signal.SIGKILL)
        assert writer.wait() == -signal.SIGKILL
        slow.go_on()
        assert storage.size("tt/a") is None
        assert storage.sizes() == {}
        # a temporary, if the server keeps it, is found and can be removed
        storage.delete(storage.stale_temporaries(-60))
        assert storage.stale_temporaries(-60) == []

    def test_a_server_far_away_costs_few_round_trips(self, behind, slow):
        behind.put("tt/a", b"abc")
        actions = {
            "get": lambda: behind.get("tt/a"),
            "size": lambda: behind.size("tt/a"),
            "sizes": lambda: behind.sizes("tt"),
            "put": lambda: behind.put("tt/b", b"abc"),
        }
        costs, results = {}, {}
        for name, action in actions.items():
            before = slow.round_trips
            results[name] = action()
            costs[name] = slow.round_trips - before
        assert results == {"get": b"abc", "size": 3, "sizes": {"tt/a": 3}, "put": None}
        assert all(0 < cost <= self.ROUND_TRIPS[name] for name, cost in costs.items()), costs

    def test_five_hundred_files_are_listed_in_few_round_trips(self, storage, behind, slow):
        expected = {f"tt/file_{i % 5}/part_{i}.parquet": i for i in range(500)}
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda item: storage.put(item[0], bytes(item[1])), expected.items()))
        before = slow.round_trips
        assert behind.sizes("tt") == expected
        assert 0 < slow.round_trips - before <= self.ROUND_TRIPS["list"]


class TestLocal(StorageContract):
    @pytest.fixture
    def storage(self, tmp_path):
        return Storage(str(tmp_path / "skims"))

    def test_a_writer_that_is_killed_leaves_nothing_under_the_name(self, storage):
        code = """
import os, signal
with storage.staged("tt/a") as temporary:
    temporary.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
        assert python(code, pickle.dumps(storage).hex()).wait() == -signal.SIGKILL
        assert storage.size("tt/a") is None
        assert storage.sizes() == {}
        assert len(storage.stale_temporaries(-60)) == 1


class TestS3(RemoteContract):
    ROUND_TRIPS = {"get": 2, "size": 2, "sizes": 2, "put": 3, "list": 2}

    @pytest.fixture
    def storage(self, s3_server, new_name):
        return Storage(f"s3://bucket/{new_name}", s3_server.options())

    @pytest.fixture
    def slow(self, s3_server, delay_proxy):
        return delay_proxy(s3_server.port)

    @pytest.fixture
    def behind(self, s3_server, slow, new_name):
        return Storage(f"s3://bucket/{new_name}", s3_server.options(port=slow.port))


class TestXRootD(RemoteContract):
    ROUND_TRIPS = {"get": 4, "size": 2, "sizes": 3, "put": 6, "list": 10}

    @pytest.fixture
    def storage(self, xrootd_server, new_name):
        return Storage(f"{xrootd_server.url}/{new_name}")

    @pytest.fixture
    def slow(self, xrootd_server, delay_proxy):
        return delay_proxy(xrootd_server.port)

    @pytest.fixture
    def behind(self, slow, new_name):
        return Storage(f"root://127.0.0.1:{slow.port}//store/{new_name}")

    def test_a_server_that_does_not_replace_gets_the_old_file_removed_first(self, storage, monkeypatch):
        from intccms.utils.xrootd import XRootDFiles

        ask, refused = XRootDFiles._ask, []

        def refusing(self, method, *arguments, deadline):
            if method == "mv" and not refused:
                refused.append(arguments)
                raise FileExistsError
            return ask(self, method, *arguments, deadline=deadline)

        storage.put("tt/a", b"old")
        monkeypatch.setattr(XRootDFiles, "_ask", refusing)
        storage.put("tt/a", b"new")
        assert len(refused) == 1
        assert storage.get("tt/a") == b"new"

    def test_options_are_refused_and_not_ignored(self, xrootd_server):
        from intccms.errors import ConfigError

        with pytest.raises(
            ConfigError, match=r"have storage_options \['timeout'\], but those of XRootD take none"
        ):
            Storage(xrootd_server.url, {"timeout": 5}).put("a", b"")

    def test_a_path_that_is_not_exported_is_refused_at_once(self, xrootd_server):
        storage = Storage(f"root://127.0.0.1:{xrootd_server.port}//elsewhere")
        start = time.perf_counter()
        with pytest.raises(
            OutputError, match=r"cannot write .*//elsewhere/a: .*disallowed.* Check the credentials"
        ):
            storage.put("a", b"")
        assert time.perf_counter() - start < 5


def test_credentials_that_are_renewed_in_the_environment_are_used_at_once(s3_server, new_name, monkeypatch):
    storage = Storage(f"s3://bucket/{new_name}")
    for name, value in s3_server.environment(secret="an older secret").items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OutputError, match="Check the credentials"):
        storage.put("tt/a", b"abc")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.environment()["AWS_SECRET_ACCESS_KEY"])
    storage.put("tt/a", b"abc")
    assert storage.get("tt/a") == b"abc"


@pytest.mark.parametrize("megabytes", [1, 20])
def test_a_file_behind_xrootd_costs_few_requests(megabytes, xrootd_server, delay_proxy, new_name):
    """A far server takes its time for each of them."""
    slow = delay_proxy(xrootd_server.port)
    content = os.urandom(1 << 20) * megabytes
    Storage(xrootd_server.url).put(new_name, content)
    storage = Storage(f"root://127.0.0.1:{slow.port}//store")
    assert storage.get(new_name) == content
    before = slow.requests
    assert storage.get(new_name) == content
    again = {kind: count - before[kind] for kind, count in slow.requests.items() if count > before[kind]}
    assert again == {"open": 1, "read": 1 if megabytes == 1 else 2, "close": 1}
    assert (before["login"], before["protocol"]) == (1, 1)


def test_connections_to_s3_are_closed_quietly_wherever_their_rest_is_collected(s3_server, new_name):
    """The garbage collector may run in a thread with an event loop of its own, as those of Dask are."""
    storage = Storage(f"s3://bucket/{new_name}", s3_server.options())

    def put_in_a_thread_that_ends():
        thread = threading.Thread(target=storage.put, args=("tt/a", b"abc"))
        thread.start()
        thread.join()

    complaints = []

    async def collect():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        for _ in range(3):
            gc.collect()
            await asyncio.sleep(0.1)

    gc.disable()
    try:
        put_in_a_thread_that_ends()
        asyncio.run(collect())
    finally:
        gc.enable()
    assert complaints == []
