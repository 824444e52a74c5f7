"""The command line: what it prints, how it exits, and what it costs to ask it for help."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result

from intccms import __version__
from intccms.cli import main
from intccms.schema import Config
from tests.nanofiles import write_nano

pytestmark = pytest.mark.usefixtures("clean_imports")


def call(*args: str) -> Result:
    return CliRunner().invoke(main, args)


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    write_nano(tmp_path / "tt.root", 20)
    path = tmp_path / "my_config.py"
    path.write_text(
        "from tests.configurations import analysis_of\n"
        f"files = [{str(tmp_path / 'tt.root')!r}]\n"
        "config = analysis_of([{'name': 'tt', 'files': files, 'cross_sections': 10.0}])\n"
        f"config['general']['output_dir'] = {str(tmp_path / 'out')!r}\n"
    )
    return path


def test_importing_the_command_line_imports_no_heavy_library():
    heavy = ["pydantic", "numpy", "awkward", "coffea", "uproot", "dask", "distributed", "matplotlib", "hist"]
    code = f"import sys, intccms.cli; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_is_there_without_heavy_libraries_too():
    code = (
        "import sys\n"
        "from intccms.cli import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as exc:\n    print(exc.code, [n for n in ('pydantic', 'numpy') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Try `intccms demo` first" in done.stdout
    assert done.stdout.splitlines()[-1] == "0 []"


@pytest.mark.parametrize(
    "args", [(), ("run",), ("demo",), ("config",), ("config", "show"), ("config", "schema")]
)
def test_every_command_has_help(args):
    result = call(*args, "--help")
    assert result.exit_code == 0
    assert result.output.startswith("Usage: ")
    assert len(result.output.splitlines()) > 4


def test_the_version_is_that_of_the_package():
    assert call("--version").output == f"intccms, version {__version__}\n"


def test_show_prints_the_resolved_configuration_as_json(config_file):
    result = call("config", "show", str(config_file), "general.lumi=7", "general.channels=all")
    assert result.exit_code == 0
    shown = json.loads(result.stdout)
    assert (shown["general"]["lumi"], shown["general"]["channels"]) == (7.0, ["all"])
    assert shown["datasets"]["datasets"][0]["cross_sections"] == [10.0]
    assert Config(**shown).to_json() == shown
    jsonschema.validate(shown, Config.model_json_schema())


def test_show_prints_no_value_that_belongs_to_workers_only(tmp_path):
    secret = "correct-horse-battery-staple"
    path = tmp_path / "secret_config.py"
    path.write_text(
        "from intccms.schema import WorkerEval\n"
        "from tests.configurations import minimal\n"
        "config = minimal()\n"
        f"config['channels'][0]['selection']['static_kwargs'] = {{'cut': WorkerEval(lambda: {secret!r})}}\n"
    )
    result = call("config", "show", str(path))
    assert result.exit_code == 0
    assert secret not in result.output
    shown = json.loads(result.stdout)["channels"][0]["selection"]["static_kwargs"]
    assert shown == {"cut": "WorkerEval(...)"}
    wrong = call("config", "show", str(path), "channels.SR.selection.static_kwargs.ct=1")
    assert (wrong.exit_code, secret in wrong.output) == (2, False)


def test_validate_counts_what_is_configured_and_reads_no_file(config_file):
    Path(config_file.parent / "tt.root").unlink()
    result = call("config", "validate", str(config_file))
    assert result.exit_code == 0
    assert result.stdout.startswith("valid: datasets: 1, channels: 1, observables: 1 ")


def test_validate_calls_nothing_valid_that_cannot_be_hashed(config_file):
    source = config_file.read_text() + "\nimport threading\nLOCK = threading.Lock()\n"
    source += "config['channels'][0]['observables'][0]['function'] = lambda met: (LOCK, met)[1]\n"
    config_file.write_text(source)
    result = call("config", "validate", str(config_file))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "cannot digest" in result.stderr


def test_validate_prints_a_digest_that_changes_with_the_configuration(config_file):
    def digest(*overrides: str) -> str:
        return call("config", "validate", str(config_file), *overrides).stdout.splitlines()[1]

    assert digest().startswith("digest: ")
    assert len(digest().split()[1]) == 64
    assert digest() == digest("general.output_dir=elsewhere")
    assert digest() != digest("channels.all.observables.met.binning=0,1")


def test_schema_prints_a_valid_json_schema_with_help():
    result = call("config", "schema")
    assert result.exit_code == 0
    schema = json.loads(result.stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert "[pb^-1]" in schema["$defs"]["GeneralConfig"]["properties"]["lumi"]["description"]


@pytest.mark.parametrize(
    "command", [["run", "--no-progress"], ["config", "show"], ["config", "validate"]], ids=" ".join
)
@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("general.lumy=1", "unknown key 'general.lumy'. Did you mean 'general.lumi'?"),
        ("general.lumi=-1", "general.lumi: should be greater than 0, not -1."),
        ("general.run_skimming=True", "set general.use_skimmed_input=True as well"),
        ("nonsense", "expected key=value"),
    ],
)
def test_a_mistake_of_the_user_exits_with_2_and_one_message(config_file, command, override, words):
    result = call(*command, str(config_file), override)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert not (config_file.parent / "out").exists()


@pytest.mark.parametrize("source", ["no_such_config", "no/such/config.py"])
def test_a_configuration_that_does_not_exist_exits_with_2(source):
    result = call("config", "show", source)
    assert result.exit_code == 2
    assert "Give a module, a .py file, or 'demo'" in result.stderr


def test_a_configuration_that_raises_exits_with_2_and_the_line(tmp_path):
    path = tmp_path / "raising_config.py"
    path.write_text("\n\nraise RuntimeError('no proxy')\n")
    result = call("config", "show", str(path))
    assert result.exit_code == 2
    assert f"RuntimeError: no proxy ({path}, line 3)" in result.stderr.replace("\n", "")


def test_an_input_that_cannot_be_read_exits_with_2_and_names_it(config_file):
    path = config_file.parent / "tt.root"
    path.write_text("no ROOT file")
    result = call("run", "--no-progress", str(config_file))
    assert result.exit_code == 2
    assert str(path) in result.stderr.replace("\n", "")
    assert "Traceback" not in result.output


def test_the_traceback_option_shows_where_it_was_raised_and_changes_nothing_else(config_file):
    plain = call("config", "show", str(config_file), "general.lumy=1")
    result = call("--traceback", "config", "show", str(config_file), "general.lumy=1")
    assert (plain.exit_code, result.exit_code) == (2, 2)
    assert "Traceback" not in plain.output
    assert "Traceback (most recent call last)" in result.output
    assert result.output.endswith(plain.output)


def test_plot_options_are_checked_with_the_configuration(config_file):
    result = call("config", "validate", str(config_file), "plotting.signals=sig")
    assert result.exit_code == 2
    assert "plotting.signals: unknown process 'sig'" in result.output
    result = call("config", "validate", str(config_file), "plotting.colors.x=redd")
    assert result.exit_code == 2
    result = call("run", "--no-progress", str(config_file), "plotting.order=sig")
    assert result.exit_code == 2
    assert not (config_file.parent / "out" / "output.coffea").exists()


def test_a_run_exits_with_0_and_says_where_its_results_are(config_file):
    result = call("run", "--no-progress", str(config_file))
    assert result.exit_code == 0, result.output
    out = config_file.parent / "out"
    assert str(out) in result.stdout
    assert {"output.coffea", "report.json"} <= {path.name for path in out.iterdir()}


def test_an_unknown_command_exits_with_2():
    assert call("rnu").exit_code == 2
