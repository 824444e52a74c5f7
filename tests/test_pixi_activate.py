"""``source pixi_activate.sh``, with a stand-in for pixi that answers with a line of shell code."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "pixi_activate.sh"
BASH = shutil.which("bash") or "/bin/bash"
PIXI = r"""#!/bin/sh
case "$*" in *unknown*) exit 1 ;; esac
echo "export CALLED_WITH='$*'"
"""


@pytest.fixture
def path_with_pixi(tmp_path: Path) -> str:
    pixi = tmp_path / "pixi"
    pixi.write_text(PIXI)
    pixi.chmod(0o755)
    return f"{tmp_path}:{os.defpath}"


def run_bash(*arguments: str, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BASH, *arguments], env={"PATH": path}, capture_output=True, text=True, check=False, timeout=30
    )


@pytest.mark.parametrize(("argument", "environment"), [("", "default"), ("test", "test")])
def test_sourcing_evaluates_what_pixi_says_for_the_environment(path_with_pixi, argument, environment):
    result = run_bash("-euc", f'source "{SCRIPT}" {argument}; echo "$CALLED_WITH"', path=path_with_pixi)
    manifest = SCRIPT.with_name("pixi.toml")
    expected = f"shell-hook --manifest-path {manifest} --environment {environment} --shell bash"
    assert (result.stdout.strip(), result.stderr) == (expected, "")


def test_sourcing_leaves_no_function_of_its_own_behind(path_with_pixi):
    result = run_bash(
        "-c", f'source "{SCRIPT}"; compgen -A function -A variable | grep intccms', path=path_with_pixi
    )
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("command", "message"),
    [
        pytest.param(
            [str(SCRIPT)], "cannot be run: use 'source pixi_activate.sh'", id="run instead of sourced"
        ),
        pytest.param(
            ["-c", f'source "{SCRIPT}" unknown'],
            "pixi cannot give the environment 'unknown'",
            id="an environment that pixi does not know",
        ),
    ],
)
def test_the_script_says_what_is_wrong_when_it_is(path_with_pixi, command, message):
    result = run_bash(*command, path=path_with_pixi)
    assert result.returncode == 1
    assert message in result.stderr


def test_without_pixi_the_script_says_what_to_install(tmp_path):
    # an empty PATH, so that a pixi of this machine is not found
    result = run_bash("-c", f'source "{SCRIPT}"; echo "status $?"', path=str(tmp_path))
    assert "there is no pixi on PATH. Install it" in result.stderr
    assert result.stdout.strip() == "status 1"
