"""What `Storage` does with servers that are silent, dead, busy or unwilling."""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest

from intccms.errors import ConfigError, OutputError
from intccms.skimming.manifest import Manifest
from intccms.utils.storage import Storage

PATIENCE = 1.5
"""Seconds, instead of the 30 that are the default."""

OPERATIONS = {
    "put": lambda storage: storage.put("tt/b", b"abc"),
    "get": lambda storage: storage.get("tt/a"),
    "size": lambda storage: storage.size("tt/a"),
    "sizes": lambda storage: storage.sizes("tt"),
    "delete": lambda storage: storage.delete(["tt/a"]),
}


@contextmanager
def takes(at_least: float, at_most: float):
    """Check how long a block takes [s]."""
    start = time.perf_counter()
    yield
    assert at_least <= time.perf_counter() - start <= at_most


class FailureContract:
    """Inherited by one class per kind of server; ``slow`` is a proxy before it, and ``behind`` its storage."""

    @pytest.fixture
    def storage(self, behind):
        behind.put("tt/a", b"old")
        return behind

    @pytest.fixture
    def impatient(self, storage):
        return replace(storage, patience=PATIENCE)

    @pytest.mark.parametrize("name", OPERATIONS)
    def test_a_server_that_hangs_is_an_error_in_a_bounded_time(self, impatient, storage, server, name):
        server.hang()
        # XRootD counts whole seconds, and what was begun there is removed in one more
        with (
            takes(PATIENCE - 0.6, PATIENCE + 12),
            pytest.raises(OutputError, match=r"given up after \d s .*Check that the server is up"),
        ):
            OPERATIONS[name](impatient)
        server.go_on()
        # what was asked for may still happen, wholly or not at all
        assert storage.size("tt/a") in ({None, 3} if name == "delete" else {3})
        assert storage.size("tt/b") in ({None, 3} if name == "put" else {None})

    @pytest.mark.parametrize("name", ["put", "get"])
    def test_a_port_that_is_closed_is_an_error_in_a_bounded_time(self, impatient, storage, server, name):
        server.kill()
        with takes(0, PATIENCE + 12), pytest.raises(OutputError, match=r"given up after \d s"):
            OPERATIONS[name](impatient)

    def test_a_server_that_is_started_again_meanwhile_is_waited_for(self, storage, server):
        server.kill()
        writer = threading.Thread(target=storage.put, args=("tt/b", b"new"))
        with takes(0.5, 15):
            writer.start()
            time.sleep(0.5)
            server.restart()
            writer.join()
        assert storage.get("tt/a") == b"old"
        assert storage.get("tt/b") == b"new"

    def test_an_upload_that_stops_in_the_middle_leaves_no_half(self, impatient, storage, slow):
        slow.hang(after=500_000)
        new = bytes(2_000_000)
        with takes(PATIENCE - 0.6, PATIENCE + 12), pytest.raises(OutputError, match=r"given up after \d s"):
            impatient.put("tt/a", new)
        slow.go_on()
        # the new one, at some time, if what the proxy kept back was all that lacked
        assert storage.get("tt/a") in {b"old", new}
        assert storage.sizes() in ({"tt/a": 3}, {"tt/a": len(new)})

    def test_a_connection_that_is_reset_in_an_upload_is_made_again(self, storage, slow):
        before = slow.connections
        slow.reset(times=2, after=300_000)
        content = b"0123456789" * 100_000
        storage.put("tt/a", content)
        assert storage.get("tt/a") == content
        assert slow.connections >= before + 3

    def test_a_connection_that_is_reset_in_a_download_is_made_again(self, storage, slow):
        content = b"0123456789" * 1_000_000
        storage.put("tt/a", content)
        slow.delay(0, 0.02)
        timer = threading.Timer(0.03, slow.reset, kwargs={"times": 1})
        timer.start()
        assert storage.get("tt/a") == content
        timer.join()


class TestXRootD(FailureContract):
    @pytest.fixture
    def server(self, xrootd_server):
        return xrootd_server

    @pytest.fixture
    def slow(self, xrootd_server, delay_proxy):
        return delay_proxy(xrootd_server.port)

    @pytest.fixture
    def behind(self, slow, new_name):
        return Storage(f"root://127.0.0.1:{slow.port}//store/{new_name}")


class TestS3(FailureContract):
    @pytest.fixture
    def server(self, s3_server):
        return s3_server

    @pytest.fixture
    def slow(self, s3_server, delay_proxy):
        return delay_proxy(s3_server.port)

    @pytest.fixture
    def behind(self, s3_server, slow, new_name):
        options = s3_server.options(port=slow.port)
        options["config_kwargs"]["retries"] = {"max_attempts": 0}  # of botocore; here ours are at work
        return Storage(f"s3://bucket/{new_name}", options)

    @pytest.mark.parametrize("code", ["SlowDown", "ServiceUnavailable"])
    def test_a_server_that_is_busy_for_a_while_is_asked_again(self, storage, slow, code):
        slow.answer(503, code, times=4)
        storage.put("tt/b", b"new")
        assert storage.get("tt/b") == b"new"
        slow.answer(503, code, times=4)
        assert storage.get("tt/a") == b"old"

    def test_a_server_that_stays_busy_is_an_error_that_says_so(self, impatient, storage, slow):
        slow.answer(503, "ServiceUnavailable", times=1000)
        with takes(0, PATIENCE + 12), pytest.raises(OutputError, match=r"given up after \d s"):
            impatient.put("tt/b", b"new")
        slow.go_on()
        assert storage.size("tt/b") is None

    def test_an_access_that_is_denied_is_an_error_at_once(self, storage, slow):
        before = slow.connections
        slow.answer(403, "AccessDenied", times=1000)
        with (
            takes(0, 15),
            pytest.raises(OutputError, match=r"as ordered. Check the credentials .* what they allow"),
        ):
            storage.put("tt/b", b"new")
        assert slow.connections == before + 1

    @pytest.mark.parametrize(
        ("credentials", "reason"),
        [
            ({"secret": "a-wrong-secret-0123"}, "signature we calculated does not match"),
            ({"key": "AN-UNKNOWN-KEY-0123"}, "Access Key Id you provided does not exist"),
        ],
        ids=["secret", "key"],
    )
    @pytest.mark.parametrize("name", ["put", "get", "sizes"])
    def test_wrong_credentials_are_an_error_at_once_that_does_not_show_them(
        self, s3_server, credentials, reason, name
    ):
        options = s3_server.options(**credentials)
        with (
            takes(0, 15),
            pytest.raises(OutputError, match=rf"s3://bucket/.*{reason}.*Check the credentials") as caught,
        ):
            OPERATIONS[name](Storage("s3://bucket/skims", options))
        assert not re.search("wrong-secret|UNKNOWN-KEY|testsecret|TESTKEY", str(caught.value))
        assert caught.value.__cause__ is None

    def test_absent_credentials_are_an_error_at_once(self, s3_server, monkeypatch):
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        options = {"endpoint_url": s3_server.options()["endpoint_url"]}
        with (
            takes(0, 15),
            pytest.raises(OutputError, match=r"Unable to locate credentials.*Check the credentials"),
        ):
            Storage("s3://bucket/skims", options).put("a", b"")

    def test_credentials_in_the_environment_will_do_and_stay_hidden(self, s3_server, monkeypatch):
        options = s3_server.options()
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", options.pop("key"))
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", options.pop("secret"))
        storage = Storage("s3://bucket/from-the-environment", options)
        storage.put("a", b"abc")
        assert storage.get("a") == b"abc"
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-wrong-secret-0123")
        with pytest.raises(OutputError, match=r"signature we calculated does not match") as caught:
            # other options, for s3fs keeps what it has for the same ones
            Storage("s3://bucket/from-the-environment", {**options, "use_ssl": False}).get("a")
        assert not re.search("wrong-secret|testsecret|TESTKEY", str(caught.value))

    def test_an_address_that_is_none_is_refused_with_its_place(self, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL", "127.0.0.1:9")
        with pytest.raises(ConfigError, match=r"S3 in AWS_ENDPOINT_URL is '127.0.0.1:9', expected https://"):
            Storage("s3://bucket").put("a", b"")

    def test_an_address_where_nobody_listens_is_named(self, monkeypatch):
        for name, value in {
            "ENDPOINT_URL": "http://127.0.0.1:9",
            "ACCESS_KEY_ID": "a",
            "SECRET_ACCESS_KEY": "b",
        }.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        with pytest.raises(
            OutputError, match=r"address is right \(http://127.0.0.1:9, from AWS_ENDPOINT_URL\)"
        ):
            Storage("s3://bucket", patience=1).put("a", b"")

    def test_a_bucket_that_is_missing_is_an_error_at_once(self, s3_server):
        with (
            takes(0, 15),
            pytest.raises(
                OutputError,
                match=r"cannot write s3://nowhere/a: The specified bucket does not exist. Create the bucket",
            ),
        ):
            Storage("s3://nowhere", s3_server.options()).put("a", b"")

    def test_a_skim_is_not_called_absent_where_its_bucket_is(self, s3_server):
        assert Manifest.load(Storage("s3://bucket/none", s3_server.options()), "tt") is None
        with pytest.raises(
            OutputError, match=r"cannot find files in s3://nowhere/.*: there is no such bucket. Create"
        ):
            Manifest.load(Storage("s3://nowhere/skims", s3_server.options()), "tt")
