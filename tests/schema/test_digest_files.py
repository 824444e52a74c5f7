"""Files that functions name count by their content; input files of datasets do not."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest

from intccms.errors import ConfigError
from intccms.schema import Config
from intccms.schema.base import Functor
from intccms.schema.digest import digest, files, function_digest
from intccms.schema.preprocess import SkimmingConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType


def keep(values: object, **_options: object) -> object:
    return values


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    path = tmp_path / "sf.json"
    path.write_text("1.05")
    return path


@pytest.fixture
def import_from(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], ModuleType]]:
    """Give a function that imports ``digest_payloads`` from a folder, anew."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def load(folder: Path) -> ModuleType:
        sys.modules.pop("digest_payloads", None)
        monkeypatch.syspath_prepend(folder)
        importlib.invalidate_caches()
        return importlib.import_module("digest_payloads")

    yield load
    sys.modules.pop("digest_payloads", None)


GIVEN: dict[str, Callable[[Any], Any]] = {
    "text": str,
    "path": lambda path: path,
    "pure path": PurePosixPath,
    "list": lambda path: [1, [str(path)]],
    "tuple": lambda path: (path,),
    "dict": lambda path: {"2017": {"muon": str(path)}},
    "set": lambda path: {str(path)},
}


@pytest.mark.parametrize("model", [Functor, SkimmingConfig])
@pytest.mark.parametrize("kind", GIVEN)
def test_a_file_in_static_arguments_counts_by_its_content_wherever_it_lies(
    kind: str, model: type, payload: Path, tmp_path: Path
) -> None:
    def of(path: Path) -> str:
        return digest(model(function=keep, use=[("Jet", "pt")], static_kwargs={"sf": GIVEN[kind](path)}))

    first = of(payload)
    copy = tmp_path / "moved" / "other.json"
    copy.parent.mkdir()
    copy.write_text("1.05")
    assert of(copy) == first
    copy.write_text("1.06")
    assert of(copy) != first
    assert of(payload) == first
    assert of(tmp_path / "absent.json") not in {first, of(copy)}


MODULES = {
    "global path": "PAYLOAD = HERE / 'sf.json'\ndef cut(pt):\n    return pt * read(PAYLOAD)\n",
    "global text": "PAYLOAD = str(HERE / 'sf.json')\ndef cut(pt):\n    return pt * read(PAYLOAD)\n",
    "global of a helper": (
        "PAYLOAD = {'mu': [HERE / 'sf.json']}\ndef h():\n    return read(PAYLOAD['mu'][0])\ndef cut(pt):\n    return pt * h()\n"
    ),
    "default": "def cut(pt, path=HERE / 'sf.json'):\n    return pt * read(path)\n",
    "keyword default": "def cut(pt, *, path=str(HERE / 'sf.json')):\n    return pt * read(path)\n",
    "closure": (
        "def make(path):\n    def cut(pt):\n        return pt * read(path)\n    return cut\ncut = make(HERE / 'sf.json')\n"
    ),
    "partial": "import functools\ndef f(path, pt):\n    return pt * read(path)\ncut = functools.partial(f, HERE / 'sf.json')\n",
    "object that is called": (
        "class C:\n    def __init__(self, path):\n        self.path = path\n    def __call__(self, pt):\n"
        "        return pt * read(self.path)\ncut = C(str(HERE / 'sf.json'))\n"
    ),
    "method": (
        "class C:\n    def __init__(self, path):\n        self.path = path\n    def apply(self, pt):\n"
        "        return pt * read(self.path)\ncut = C(HERE / 'sf.json').apply\n"
    ),
    "class attribute": (
        "class C:\n    path = HERE / 'sf.json'\ndef cut(pt):\n    return pt * read(C.path)\n"
    ),
    "attribute of the function": (
        "def cut(pt):\n    return pt * read(cut.path)\ncut.path = str(HERE / 'sf.json')\n"
    ),
    "text in the code": "def cut(pt):\n    return pt * read(Path(__file__).parent / 'sf.json')\n",
    "text in an inner function": (
        "def cut(pt):\n    def inner():\n        return [read(Path(__file__).parent / one) for one in ('sf.json', 'x.json')]\n"
        "    return inner()\n"
    ),
    "numba": (
        "import numba\nPAYLOAD = str(HERE / 'sf.json')\n@numba.njit\ndef h(pt):\n    return pt\ndef cut(pt):\n    return h(pt * read(PAYLOAD))\n"
    ),
}


@pytest.mark.parametrize("kind", MODULES)
def test_a_file_that_code_names_counts_by_its_content_wherever_it_lies(
    kind: str, tmp_path: Path, import_from: Callable[[Path], ModuleType]
) -> None:
    text = "from pathlib import Path\nHERE = Path(__file__).parent\ndef read(path):\n    return float(Path(path).read_text())\n"
    digests = {}
    for name, content in {"first": "1.05", "copy": "1.05", "changed": "1.06"}.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "digest_payloads.py").write_text(text + MODULES[kind])
        (folder / "sf.json").write_text(content)
        cut = import_from(folder).cut
        digests[name] = function_digest(cut)
        assert digest(Functor(function=cut, use=[("Jet", "pt")])) == digest(
            Functor(function=cut, use=[("Jet", "pt")])
        )
    assert digests["first"] == digests["copy"]
    assert digests["first"] != digests["changed"]


def test_a_text_in_the_code_is_looked_up_in_the_working_folder(
    payload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(pt: Any) -> Any:
        return pt * float(Path("sf.json").read_text())

    monkeypatch.chdir(payload.parent)
    first = function_digest(cut)
    payload.write_text("1.06")
    assert function_digest(cut) != first


@pytest.mark.parametrize("name", ["~/sf.json", "$DIGEST_HOME/sf.json"])
def test_homes_and_environment_variables_in_names_are_expanded(
    name: str, payload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(payload.parent))
    monkeypatch.setenv("DIGEST_HOME", str(payload.parent))
    assert digest(name, files=True) == digest(payload, files=True)


def test_a_file_that_is_rewritten_at_once_in_the_same_size_is_read_again(payload: Path) -> None:
    stamp = os.stat(payload)  # noqa: PTH116
    digests = set()
    for number in range(5):
        payload.write_text(f"1.0{number}")
        # as on a file system whose clock ticks slowly
        os.utime(payload, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
        digests.add(digest(payload, files=True))
    assert len(digests) == 5


def test_a_file_that_stays_is_read_once(payload: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.utime(payload, (1e9, 1e9))
    first = digest(payload, files=True)
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("it was read again"))
    assert digest(payload, files=True) == first


def test_a_very_large_file_counts_by_size_and_time_without_being_read(
    payload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LARGE", 3)
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("it was read"))
    first = digest(payload, files=True)
    os.utime(payload, (1e9, 1e9))
    assert digest(payload, files=True) != first


def test_a_file_that_cannot_be_read_is_an_error_that_names_it(
    payload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    functor = Functor(function=keep, use=[("Jet", "pt")], static_kwargs={"sf": str(payload)})
    with pytest.raises(ConfigError) as caught:
        digest(functor, where="channels.SR.selection")
    message = str(caught.value)
    assert message.startswith("cannot digest channels.SR.selection.static_kwargs[sf]: ")
    assert f"{payload}, which it names, cannot be read: Permission denied" in message
    assert message.endswith("Make the file readable, or name another.")


@pytest.mark.parametrize(
    "value", ["folder", "plain", "sf.json\0", "x.json" * 2000, "https://host.example/sf.json", 1.5]
)
def test_what_names_no_regular_file_counts_as_written(
    value: object, payload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(payload.parent)
    (payload.parent / "folder").mkdir()
    (payload.parent / "plain").write_text("a word, not a file name")
    assert digest(value, files=True) == digest(value)
    assert digest(PurePosixPath("folder"), files=True) == digest(PurePosixPath("folder"))


def test_input_files_of_datasets_count_as_written(configuration: dict[str, Any], payload: Path) -> None:
    configuration["datasets"]["datasets"][0]["files"] = [str(payload)]
    config = Config(**configuration)

    def holding(*_columns: object) -> object:
        return config

    before = [digest(config), digest(config.selected_datasets()), function_digest(holding)]
    payload.write_text("other content")
    assert [digest(config), digest(config.selected_datasets()), function_digest(holding)] == before


def test_plain_data_names_no_files_unless_it_is_said_to(payload: Path) -> None:
    value = {"files": [str(payload)]}
    plain, named = digest(value), digest(value, files=True)
    payload.write_text("1.06")
    assert digest(value) == plain
    assert digest(value, files=True) != named


def test_one_list_may_be_data_in_one_place_and_names_of_files_in_another(payload: Path) -> None:
    shared = [str(payload)]
    together = {"data": shared, "function": functools.partial(keep, shared)}
    apart = {"data": list(shared), "function": functools.partial(keep, list(shared))}
    first = digest(together)
    assert digest(apart) == first
    assert digest(dict(reversed(together.items()))) == first
    payload.write_text("1.06")
    assert digest(together) != first
