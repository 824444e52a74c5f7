"""Local copies of remote skim parts."""

from __future__ import annotations

import logging
import threading
from hashlib import sha256
from pathlib import Path

import fsspec
import pytest

from intccms.errors import InputFileError
from intccms.schema import Config
from intccms.skimming.cache import _warn_once, cache_folder, cached_copy
from intccms.utils.storage import Storage

CONTENT = b"the bytes of a part"
CHECKSUM = f"sha256:{sha256(CONTENT).hexdigest()}"
NAME = "tt/file_0/part_0.parquet"


class Counting(Storage):
    """Counts what is fetched."""

    fetched = 0

    def get(self, name):
        type(self).fetched += 1
        return super().get(name)


@pytest.fixture
def storage():
    Counting.fetched = 0
    storage = Counting("memory://skims")
    storage.put(NAME, CONTENT)
    yield storage
    fsspec.filesystem("memory").store.clear()
    _warn_once.cache_clear()


def test_a_part_is_fetched_once(storage, tmp_path):
    paths = {cached_copy(storage, NAME, CHECKSUM, tmp_path) for _ in range(3)}
    assert [path.read_bytes() for path in paths] == [CONTENT]
    assert storage.fetched == 1


def test_the_same_content_is_kept_once_whatever_its_name(storage, tmp_path):
    storage.put("tt/file_9/part_9.parquet", CONTENT)
    first = cached_copy(storage, NAME, CHECKSUM, tmp_path)
    assert cached_copy(storage, "tt/file_9/part_9.parquet", CHECKSUM, tmp_path) == first
    assert storage.fetched == 1


def test_a_copy_stays_when_the_part_was_written_anew_and_another_one_is_made(storage, tmp_path):
    cached_copy(storage, NAME, CHECKSUM, tmp_path)
    storage.put(NAME, b"new bytes")
    path = cached_copy(storage, NAME, f"sha256:{sha256(b'new bytes').hexdigest()}", tmp_path)
    assert path.read_bytes() == b"new bytes"


@pytest.mark.parametrize("damage", [b"", CONTENT[:-1], b"x" * len(CONTENT)])
def test_a_damaged_copy_is_replaced(storage, tmp_path, damage):
    path = cached_copy(storage, NAME, CHECKSUM, tmp_path)
    path.write_bytes(damage)
    assert cached_copy(storage, NAME, CHECKSUM, tmp_path).read_bytes() == CONTENT
    assert storage.fetched == 2


def test_nothing_wrong_is_kept(storage, tmp_path):
    storage.put(NAME, b"something else")
    with pytest.raises(InputFileError, match=rf"is not the one .* expected {CHECKSUM}.*run_skimming=True"):
        cached_copy(storage, NAME, CHECKSUM, tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_many_at_once_find_one_sound_copy(storage, tmp_path):
    found = []

    def fetch():
        found.append(cached_copy(storage, NAME, CHECKSUM, tmp_path).read_bytes())

    threads = [threading.Thread(target=fetch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [CONTENT] * 8
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


def test_a_folder_that_cannot_be_written_is_said_once_and_is_no_error(storage, tmp_path, caplog):
    (tmp_path / "cache").write_text("a file in its place")
    with caplog.at_level(logging.WARNING):
        found = [cached_copy(storage, NAME, CHECKSUM, tmp_path / "cache") for _ in range(3)]
    assert found == [None, None, None]
    assert caplog.text.count("no copy can be kept in") == 1
    assert "Set general.cache_dir" in caplog.text


class TestWhereCopiesAre:
    """`cache_folder`."""

    def folder(self, configuration, **general):
        configuration["general"] |= general
        return cache_folder(Config(**configuration))

    def test_in_the_folder_of_the_configuration(self, configuration, tmp_path):
        assert self.folder(configuration, cache_dir=tmp_path) == tmp_path / "skims"

    def test_else_where_the_desktop_standard_says(self, configuration, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert self.folder(configuration) == tmp_path / "intccms" / "skims"
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert self.folder(configuration) == Path.home() / ".cache" / "intccms" / "skims"

    def test_nowhere_if_switched_off(self, configuration, tmp_path):
        assert self.folder(configuration, cache_dir=tmp_path, read_from_cache=False) is None
