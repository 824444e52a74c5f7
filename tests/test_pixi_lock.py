"""The pixi manifest and its lock: valid, consistent, and checked by something that sees planted faults."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from scripts import check_pixi_lock

ROOT = Path(__file__).resolve().parent.parent
TASKS = {"demo", "analysis", "bench", "lab", "notebooks", "test", "lock-check", "lint", "fmt"}
# Names on conda-forge that differ from the distribution's own name.
CONDA_NAMES = {"matplotlib": "matplotlib-base"}


@pytest.fixture(scope="module")
def manifest() -> dict:
    return tomllib.loads((ROOT / "pixi.toml").read_text())


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Give a copy of manifest and lock that a test may damage."""
    for name in ("pixi.toml", "pixi.lock"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    return tmp_path


def damage(path: Path, pattern: str, replacement: str) -> None:
    """Replace the first match; fail if there is none, so that no planted fault is an empty one."""
    text, count = re.subn(pattern, replacement, path.read_text(), count=1, flags=re.MULTILINE)
    assert count == 1, f"{pattern!r} is not in {path.name}"
    path.write_text(text)


def validate_with_the_published_schema(manifest: dict) -> None:
    resource = files("validate_pyproject_schema_store") / "resources" / "pixi.schema.json"
    jsonschema.Draft7Validator(json.loads(resource.read_text())).validate(manifest)


def test_the_lock_satisfies_the_manifest():
    assert check_pixi_lock.check(ROOT / "pixi.toml", ROOT / "pixi.lock") == []


def test_the_manifest_is_valid_by_the_published_schema(manifest):
    validate_with_the_published_schema(manifest)


def test_the_published_schema_refuses_a_misspelt_key(manifest):
    with pytest.raises(jsonschema.ValidationError, match="platform"):
        validate_with_the_published_schema({**manifest, "workspace": {"name": "x", "platform": ["linux-64"]}})


def test_every_task_that_the_documentation_names_exists(manifest):
    tables = [manifest, *manifest["feature"].values()]
    tasks = {name: task for table in tables for name, task in table.get("tasks", {}).items()}
    assert {name for name in tasks if not name.startswith("_")} == TASKS
    assert all(task["description"] for task in tasks.values())


def test_every_runtime_dependency_of_the_package_is_in_the_manifest(manifest):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=!~\[; ]", line, maxsplit=1)[0] for line in project["dependencies"]}
    assert {CONDA_NAMES.get(name, name) for name in names} <= set(manifest["dependencies"])


@pytest.mark.parametrize(
    ("file", "pattern", "replacement", "finding"),
    [
        pytest.param(
            "pixi.toml",
            r"^awkward = .*$",
            'awkward = ">=99"',
            r"the manifest needs 'awkward >=99', locked is 2\.",
            id="a version that the lock does not have",
        ),
        pytest.param(
            "pixi.toml",
            r"^\[dependencies\]$",
            '[dependencies]\nscikit-image = "*"',
            r"the manifest needs 'scikit-image', which is not locked",
            id="a dependency that the lock does not have",
        ),
        pytest.param(
            "pixi.toml",
            r"^voms = .*$",
            "",
            r"linux-64: voms is locked, but nothing needs it",
            id="a dependency that was removed from the manifest",
        ),
        pytest.param(
            "pixi.toml",
            r"^\[environments\]$",
            "[environments]\nextra = []",
            r"environment 'extra' is in the manifest only",
            id="an environment that was not locked",
        ),
        pytest.param(
            "pixi.toml",
            r"^\[environments\]$",
            '[pypi-dependencies]\nroastcoffea = "*"\n\n[environments]',
            r"\[pypi-dependencies\] is not supported",
            id="a dependency from outside conda",
        ),
        pytest.param(
            "pixi.toml",
            r'"osx-arm64"\]',
            '"linux-aarch64"]',
            r"platform 'linux-aarch64' is unknown",
            id="a platform that was not locked",
        ),
        pytest.param(
            "pixi.toml",
            r'channels = \["conda-forge"\]',
            'channels = ["bioconda"]',
            r"default: the channels are not",
            id="another channel",
        ),
        pytest.param(
            "pixi.lock",
            r"https://conda\.anaconda\.org/conda-forge/noarch/zict-",
            "https://mirror.example/conda-forge/noarch/zict-",
            r"another host than conda\.anaconda\.org: mirror\.example",
            id="another host",
        ),
        pytest.param(
            "pixi.lock",
            r"^version: 7$",
            "version: seven",
            r"rattler cannot read the lock",
            id="a lock that is no lock",
        ),
        pytest.param(
            "pixi.lock",
            r"(\n- conda: \S+/noarch/zict-\S+\n)  sha256: \w+\n",
            r"\1",
            r"zict has no sha256",
            id="a package without its hash",
        ),
        pytest.param(
            "pixi.lock",
            r"(\n- conda: \S+/noarch/zict-\S+\n(?:  .*\n)*?  depends:\n)",
            r"\1  - no-such-package\n",
            r"zict needs 'no-such-package', which is not locked",
            id="a dependency of a package that is not locked",
        ),
        pytest.param(
            "pixi.lock",
            r"(\n- conda: \S+/noarch/zict-\S+\n(?:  .*\n)*?)  depends:\n",
            r"\1  constrains:\n  - numpy <1\n  depends:\n",
            r"zict is constrained to 'numpy <1', locked is 2\.",
            id="a package that another one excludes",
        ),
        pytest.param(
            "pixi.toml",
            r"no-default-feature = true",
            'no-default-feature = true, solve-group = "main"',
            r"python differs within the solve group 'main'",
            id="environments of one solve group with different versions",
        ),
        pytest.param(
            "pixi.lock",
            r"^  - __glibc=2\.28$",
            "  - __glibc=2.99",
            r"__glibc=2\.99.*not for pixi's defaults",
            id="a newer C library than pixi assumes",
        ),
    ],
)
def test_the_check_finds(workspace, file, pattern, replacement, finding):
    damage(workspace / file, pattern, replacement)
    findings = check_pixi_lock.check(workspace / "pixi.toml", workspace / "pixi.lock")
    assert any(re.search(finding, line) for line in findings), findings


def test_the_command_says_where_the_lock_fails_and_what_to_do(workspace, capsys):
    damage(workspace / "pixi.toml", r"^voms = .*$", "")
    assert check_pixi_lock.main([str(workspace / "pixi.toml"), str(workspace / "pixi.lock")]) == 1
    assert "voms is locked, but nothing needs it" in (message := capsys.readouterr().err)
    assert "pixi update" in message


def test_the_command_is_content_with_the_lock_of_this_repository(capsys):
    assert check_pixi_lock.main([]) == 0
    assert "satisfies" in capsys.readouterr().out
