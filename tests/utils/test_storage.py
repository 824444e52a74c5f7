"""Where files of skims are: whole or absent, on disk and behind URLs."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import cloudpickle
import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from intccms.errors import ConfigError, OutputError
from intccms.schema import Config, WorkerEval
from intccms.skimming import skim_folder, skim_storage
from intccms.utils.storage import Storage


class Picky(LocalFileSystem):
    """A server that writes in place, does not rename onto what exists, and may fail or want a key."""

    protocol = "picky"
    cachable = False
    fails_after: int | None = None

    def __init__(self, key="", **more):
        super().__init__(**more)
        self.key = key

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(str(path).removeprefix("picky://"))

    def put_file(self, lpath, rpath, **more):
        content = Path(lpath).read_bytes()
        Path(rpath).write_bytes(content[: self.fails_after])
        if self.fails_after is not None:
            message = f"connection lost, key was {self.key}"
            raise OSError(message)

    def mv(self, path1, path2, **more):
        if Path(path2).exists():
            message = "Unable to rename; file exists"
            raise OSError(message)
        Path(path1).rename(path2)


@pytest.fixture(autouse=True)
def picky():
    fsspec.register_implementation("picky", Picky, clobber=True)
    yield
    Picky.fails_after = None


@pytest.fixture(params=["local", "file", "memory", "picky"])
def storage(request, tmp_path):
    folder = tmp_path / "skims"
    yield Storage(
        {
            "local": str(folder),
            "file": f"file://{folder}",
            "memory": f"memory://{uuid.uuid4().hex}",
            "picky": f"picky://{folder}",
        }[request.param]
    )
    fsspec.filesystem("memory").store.clear()


def test_what_is_put_can_be_got_listed_and_removed(storage):
    storage.put("tt/file_0/part_0.parquet", b"abc")
    storage.put("tt/file_1/part_2.parquet", b"12345")
    storage.put("data/manifest.json", b"{}")
    assert storage.get("tt/file_0/part_0.parquet") == b"abc"
    assert storage.size("tt/file_1/part_2.parquet") == 5
    tt = {"tt/file_0/part_0.parquet": 3, "tt/file_1/part_2.parquet": 5}
    assert storage.sizes("tt") == tt
    assert storage.sizes() == {**tt, "data/manifest.json": 2}
    storage.delete(["tt/file_0/part_0.parquet", "tt/file_9/part_9.parquet"])
    assert storage.sizes("tt") == {"tt/file_1/part_2.parquet": 5}


def test_putting_again_replaces(storage):
    storage.put("a", b"first")
    storage.put("a", b"second one")
    assert storage.get("a") == b"second one"
    assert storage.sizes() == {"a": 10}


def test_what_is_absent_is_told_apart(storage, tmp_path):
    assert storage.size("tt/a") is None
    assert storage.sizes() == storage.sizes("tt") == {}
    with pytest.raises(FileNotFoundError, match=r"tt/a does not exist"):
        storage.get("tt/a")
    with pytest.raises(FileNotFoundError, match=r"tt/a does not exist"):
        storage.download("tt/a", tmp_path / "copy")


def test_a_file_that_is_downloaded_is_the_same(storage, tmp_path):
    storage.put("tt/a", b"abc")
    storage.download("tt/a", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"abc"


def test_a_block_that_fails_leaves_what_was_there(storage):
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


def test_it_goes_to_workers_by_pickle(storage):
    storage.put("a", b"abc")
    copy = pickle.loads(pickle.dumps(storage))
    assert copy == storage
    assert hash(copy) == hash(storage)
    assert copy.get("a") == b"abc"


def test_urls_are_those_of_other_programs(tmp_path):
    assert Storage(str(tmp_path)).url("tt/a") == str(tmp_path / "tt/a")
    assert Storage(f"file://{tmp_path}").url("tt/a") == str(tmp_path / "tt/a")
    assert Storage("s3://bucket/skims/").url("tt/a") == "s3://bucket/skims/tt/a"
    assert Storage("relative").local_path("a") == Path("relative/a")
    with pytest.raises(ValueError, match="s3://bucket is not a local folder"):
        Storage("s3://bucket").local_path("a")


def test_an_upload_that_breaks_off_leaves_what_was_there(tmp_path):
    storage = Storage(f"picky://{tmp_path}")
    storage.put("tt/a", b"old")
    Picky.fails_after = 2
    with pytest.raises(
        OutputError, match=r"cannot write picky://.*/tt/a: connection lost.*Check permissions"
    ):
        storage.put("tt/a", b"new and longer")
    assert storage.get("tt/a") == b"old"
    assert [path.name for path in (tmp_path / "tt").iterdir()] == ["a"]


def test_a_process_that_was_killed_leaves_a_temporary_that_is_ignored_and_found(tmp_path):
    storage = Storage(str(tmp_path))
    storage.put("tt/a", b"abc")
    killed = f"""
import os, signal
from intccms.utils.storage import Storage
with Storage({str(tmp_path)!r}).staged("tt/a") as temporary:
    temporary.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == -signal.SIGKILL
    assert storage.sizes() == {"tt/a": 3}
    assert storage.get("tt/a") == b"abc"
    assert storage.stale_temporaries(3600) == []
    (left,) = storage.stale_temporaries(-60)
    assert left.startswith("tt/.a-")
    hour_ago = time.time() - 4000
    os.utime(storage.local_path(left), (hour_ago, hour_ago))
    assert storage.stale_temporaries(3600) == [left]
    storage.delete([left])
    assert storage.stale_temporaries(-60) == []


def test_a_file_in_the_place_of_the_folder_is_an_output_error(tmp_path):
    (tmp_path / "skims").write_text("a file")
    storage = Storage(str(tmp_path / "skims"))
    with pytest.raises(
        OutputError, match=r"cannot write .*skims/tt/a: (Not a directory|File exists).*free space"
    ):
        storage.put("tt/a", b"abc")


def test_a_disk_that_is_full_is_an_output_error(tmp_path):
    storage = Storage(str(tmp_path))

    def write():
        with storage.staged("a"):
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=r"cannot write .*/a: No space left on device\. Check permissions"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_removed_is_an_output_error(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OutputError, match=r"cannot remove .*/a: "):
        Storage(str(tmp_path)).delete(["a"])


def test_a_protocol_that_nobody_knows_is_an_error_of_the_configuration():
    with pytest.raises(ConfigError, match=r"cannot be kept in gopher://host/x: Protocol not known: gopher"):
        Storage("gopher://host/x").put("a", b"abc")


def secret_of_the_worker():
    return os.environ["PICKY_KEY"]


class TestCredentials:
    """Options with `WorkerEval`: computed at use, and never shown."""

    @pytest.fixture
    def storage(self, tmp_path):
        return Storage(f"picky://{tmp_path}", {"key": WorkerEval(secret_of_the_worker)})

    def test_they_are_computed_where_the_file_is_written(self, storage, monkeypatch):
        copy = cloudpickle.loads(cloudpickle.dumps(storage))
        monkeypatch.setenv("PICKY_KEY", "hunter2-of-the-worker")
        copy.put("a", b"abc")
        assert copy.get("a") == b"abc"
        assert b"hunter2" not in cloudpickle.dumps(copy)
        assert "hunter2" not in repr(copy)

    def test_no_error_shows_them_nor_its_cause(self, storage, monkeypatch):
        monkeypatch.setenv("PICKY_KEY", "hunter2-of-the-worker")
        Picky.fails_after = 0
        with pytest.raises(OutputError, match=r"connection lost, key was \*\*\*") as caught:
            storage.put("a", b"abc")
        assert "hunter2" not in str(caught.value)
        assert caught.value.__cause__ is None

    def test_a_variable_that_is_not_set_on_the_worker_is_named_as_such(self, storage, monkeypatch):
        monkeypatch.delenv("PICKY_KEY", raising=False)
        with pytest.raises(
            ConfigError, match=r"a WorkerEval among the storage_options of picky://.* raised KeyError on"
        ):
            storage.put("a", b"abc")


class TestWhereSkimsAre:
    """`skim_folder`: the output's own folder, else the general one, else that of the run."""

    @pytest.mark.parametrize(
        ("own", "general", "expected"),
        [
            (None, None, "{cwd}/run/skimmed"),
            (None, "/data/skims", "/data/skims"),
            ("s3://bucket/skims", "/data/skims", "s3://bucket/skims"),
            ("here", None, "{cwd}/here"),
        ],
    )
    def test_the_nearest_setting_wins(self, configuration, own, general, expected):
        configuration["general"] |= {"output_dir": "run", "skimmed_dir": general}
        configuration["preprocess"]["skimming"]["output"] = {"output_dir": own}
        # absolute, for workers may work in another folder
        assert skim_folder(Config(**configuration)) == expected.format(cwd=Path.cwd())

    def test_storage_options_are_those_of_writing_or_reading(self, configuration):
        configuration["preprocess"]["skimming"]["output"] = {
            "output_dir": "s3://bucket",
            "to_kwargs": {"storage_options": {"profile": "writer"}},
            "from_kwargs": {"storage_options": {"profile": "reader"}},
        }
        config = Config(**configuration)
        assert skim_storage(config).options == {"profile": "writer"}
        assert skim_storage(config, reading=True).options == {"profile": "reader"}
        assert skim_storage(config).folder == "s3://bucket"
