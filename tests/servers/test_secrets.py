"""Skims on a real S3 server whose secret is marked: it stands in no file, log, report, notebook, pickle or error."""

from __future__ import annotations

import base64
import gzip
import os
import secrets
import zipfile
import zlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from os import environ as os_environ
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import cloudpickle
import coffea.util
import dask
import nbformat
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from distributed import Client, LocalCluster
from nbclient import NotebookClient

from intccms.analysis import AnalysisRunner
from intccms.analysis.executors.base import pickled
from intccms.analysis.executors.on_dask import Dask
from intccms.cli import main
from intccms.errors import ConfigError, IntccmsError, OutputError
from intccms.schema import WorkerEval, load_config
from intccms.selection.calling import call
from intccms.utils.storage import Storage
from tests.analysis.breaking import datasets_of, report_of
from tests.analysis.modes import ON_SKIMS, ONE_PASS
from tests.analysis.toys import toy_config, write_toy
from tests.servers.recording import recorder
from tests.servers.s3 import s3
from tests.servers.searching import Search

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY, SECRET, PASSWORD = "INTCCMS_TEST_STORE_A", "INTCCMS_TEST_STORE_B", "INTCCMS_TEST_DOOR"
"""Environment variables of names that do not tell what they hold."""


@pytest.fixture(scope="module")
def server():
    """A server with credentials that nobody knew before; the signs are those that AWS uses, and URLs quote."""
    with s3(
        f"AKIA{secrets.token_hex(8).upper()}", f"Marked/{secrets.token_hex(12)}+/{secrets.token_hex(6)}"
    ) as one:
        yield one


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toys")
    return {
        "tt": [write_toy(folder / "tt_0.root", 200, 1), write_toy(folder / "tt_1.root", 90, 2)],
        "data": [write_toy(folder / "data_0.root", 120, 4, data=True)],
    }


@pytest.fixture
def password(monkeypatch):
    """What functions of the user get as a constant."""
    value = f"Door/{secrets.token_hex(12)}+="
    monkeypatch.setenv(PASSWORD, value)
    return value


@pytest.fixture
def search(server, password):
    """The credentials of this test, which must be nowhere; a failure shows where they were found."""
    found = Search(server.secret, server.key, password)
    yield found
    assert found.found == []
    assert found.searched > 50_000


def from_aws_variables(monkeypatch, server) -> dict[str, Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.options()["endpoint_url"])
    for name in ("AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION"):
        monkeypatch.setenv(name, "when_required")
    return {}


def from_worker_eval(monkeypatch, server) -> dict[str, Any]:
    monkeypatch.setenv(KEY, server.key)
    monkeypatch.setenv(SECRET, server.secret)
    more = {name: value for name, value in server.options().items() if name not in {"key", "secret"}}
    return {
        **more,
        "key": WorkerEval(lambda: os.environ[KEY]),
        "secret": WorkerEval(lambda: os.environ[SECRET]),
    }


WAYS = {"variables of AWS": from_aws_variables, "WorkerEval": from_worker_eval}


def skim_with_password(met, events, *, password, least=20):
    """Skim of the toys that needs a credential."""
    assert password.startswith("Door/")
    return {"MET": met > least}


def ht_of_a_service(ht, events, *, password, number):
    """Observable that fails for one chunk, in the way of careless code."""
    address = f"https://me:{password}@service"
    if number in np.asarray(events).tolist():
        error = ConnectionError(f"cannot open {address} with {password!r}")
        error.add_note(f"the password was {password}")
        raise error
    return ht


def met_from_a_bucket(met, events, *, number):
    """Observable that fails for one chunk, and looks its credential up itself."""
    secret = os.environ.get("AWS_SECRET_ACCESS_KEY", "none here")
    if number in np.asarray(events).tolist():
        try:
            {}[secret]
        except KeyError as exc:
            message = f"refused: {secret} ({base64.b64encode(secret.encode()).decode()})"
            raise RuntimeError(message) from exc
    return met


def passing_on(values):
    return values


@dataclass
class Setup:
    """Where an analysis runs, and everything that can be seen of it."""

    executor: str
    folder: Path
    config: dict[str, Any]
    search: Search
    ledgers: str | None
    """Where the ledgers are, None for in the run directories."""
    client: Any = None
    pickles: list[bytes] = field(default_factory=list)

    def run(self, switches, output="run", **parts):
        """Run an analysis, and return the result or the error."""
        general = {
            **self.config["general"],
            **switches,
            "output_dir": str(self.folder / output),
            "executor": self.executor,
            "workers": 1,
            "ledger_url": self.ledgers and f"{self.ledgers}/{output}",
        }
        try:
            config = load_config({**self.config, "general": general, **parts})
            self.search.text(f"{config!r} {config} {config.to_json()}", "display of the configuration")
            result = AnalysisRunner(config, self.client, progress=True).histogram()
        except IntccmsError as exc:
            self.search.error(exc, "error")
            return exc
        self.search.text(f"{result!r} {result.report!r} {result.output['config']!r}", "result")
        return result


@contextmanager
def dask_cluster(search: Search) -> Iterator[Any]:
    """Yield a client behind a proxy that keeps what goes to the scheduler and comes back, unpacked."""
    with ExitStack() as stack:
        stack.enter_context(dask.config.set({"distributed.comm.compression": None}))
        options = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
        cluster = stack.enter_context(LocalCluster(n_workers=1, **options))
        through = stack.enter_context(recorder(int(cluster.scheduler_address.rpartition(":")[2])))
        yield stack.enter_context(Client(f"tcp://127.0.0.1:{through.port}"))
        for stream in list(through.streams):
            search.bytes(bytes(stream), "bytes between client and scheduler")
        assert sum(map(len, through.streams)) > 20_000


def state_of_scheduler(dask_scheduler) -> list[bytes]:
    """Return all that a scheduler holds, as far as it can be written."""
    import pickle

    found = [repr(vars(dask_scheduler)), repr(dask_scheduler.get_logs()), repr(dask_scheduler.identity())]
    content = [text.encode() for text in found]
    for task in dask_scheduler.tasks.values():
        content += [
            repr(task.run_spec).encode(),
            pickle.dumps(task.run_spec),
            repr(task.exception_text).encode(),
        ]
        content += [pickle.dumps((task.annotations, task.metadata, task.traceback_text))]
    return content


@pytest.fixture
def setup(request, server, toys, tmp_path, monkeypatch, search, password):
    executor, way = request.param
    options = WAYS[way](monkeypatch, server)
    bucket = f"s3://bucket/{secrets.token_hex(4)}"
    config = toy_config(datasets_of(toys, ("tt", "data")), tmp_path / "unused", chunk_size=100)
    config["preprocess"]["skimming"] |= {
        "function": skim_with_password,
        "use": [("MET", "pt"), ("event", "event")],
        "static_kwargs": {"password": WorkerEval(lambda: os.environ[PASSWORD])},
        "output": {
            "output_dir": f"{bucket}/skims",
            "to_kwargs": {"storage_options": options},
            "from_kwargs": {"storage_options": options},
        },
    }
    config["general"]["cache_dir"] = str(tmp_path / "cache")
    ledgers = f"{bucket}/ledger" if way == "variables of AWS" else None
    found = Setup(executor, tmp_path, config, search, ledgers)
    dumps = cloudpickle.dumps
    monkeypatch.setattr(
        cloudpickle, "dumps", lambda *args, **more: _kept(dumps(*args, **more), found.pickles)
    )
    if executor != "dask":
        yield found
        return
    states = []
    one_by_one = Dask.map

    def looking(self, *args, **more):
        for number, result in enumerate(one_by_one(self, *args, **more)):
            if number < 2:
                states.extend(self.client.run_on_scheduler(state_of_scheduler))
            yield result

    monkeypatch.setattr(Dask, "map", looking)
    with dask_cluster(search) as found.client:
        yield found
        for number, content in enumerate(states):
            search.bytes(content, f"state of the scheduler {number}")
        assert len(states) > 10
        search.text(repr(found.client.get_worker_logs()), "logs of the workers")
        search.text(repr(found.client.get_events()), "events of the scheduler")
        found.client.dump_cluster_state(str(tmp_path / "dump"))
        assert (tmp_path / "dump.msgpack.gz").stat().st_size > 1000


def _kept(content: bytes, pickles: list[bytes]) -> bytes:
    pickles.append(content)
    return content


CASES = [(executor, way) for executor in ("iterative", "futures", "dask") for way in WAYS]


@pytest.mark.parametrize("setup", CASES, ids=" ".join, indirect=True)
def test_no_run_good_or_bad_leaves_a_credential_anywhere(
    setup, server, toys, search, tmp_path, capfd, caplog
):
    columns = toys["tt"][0].columns
    first, *_, last = columns["event"][columns["MET_pt"] > 20].tolist()
    leaking = {
        "baseline_selection": None,
        "channels": [
            {
                "name": "leaking",
                "observables": [
                    {
                        "name": "ht",
                        "function": ht_of_a_service,
                        "use": [("MET", "pt"), ("event", "event")],
                        "static_kwargs": {
                            "password": WorkerEval(lambda: os.environ[PASSWORD]),
                            "number": first,
                        },
                        "binning": [0, 100],
                    },
                    {
                        "name": "met",
                        "function": met_from_a_bucket,
                        "use": [("MET", "pt"), ("event", "event")],
                        "static_kwargs": {"number": last},
                        "binning": [0, 100],
                    },
                ],
            }
        ],
    }
    with caplog.at_level("DEBUG", logger="intccms"):  # that of botocore shows who signs
        assert setup.run(ONE_PASS).succeeded
        assert setup.run(ON_SKIMS, "on-skims").succeeded

        failed = setup.run(ON_SKIMS, "failed", **leaking)
        assert not failed.succeeded
        failures = report_of(tmp_path / "failed")["failures"]
        assert [one["reason"].partition(" raised ")[2].split()[0].rstrip(":") for one in failures] == [
            "ConnectionError",
            "RuntimeError",
        ]

        skimming = setup.config["preprocess"]["skimming"]
        stricter = {"static_kwargs": {**skimming["static_kwargs"], "least": 30}}
        mismatch = setup.run(ON_SKIMS, "mismatch", preprocess={"skimming": {**skimming, **stricter}})
        assert isinstance(mismatch, ConfigError)
        assert "does not fit the configuration" in str(mismatch)

        elsewhere = {"output": {**skimming["output"], "output_dir": "s3://no-such-bucket/skims"}}
        lost = setup.run(ONE_PASS, "lost", preprocess={"skimming": {**skimming, **elsewhere}})
        assert isinstance(lost, OutputError)

    for command in ("report", "status"):
        for run in ("run", "failed"):
            shown = CliRunner().invoke(main, [command, str(tmp_path / run)])
            assert shown.output
            search.text(shown.output, f"intccms {command}")

    assert search.files(tmp_path) > 20
    assert search.files(server.files) > 4
    for number, content in enumerate(setup.pickles):
        search.bytes(content, f"pickle {number}")
    assert setup.executor == "iterative" or setup.pickles
    search.text(caplog.text, "log")
    out, err = capfd.readouterr()
    search.text(out, "standard output")
    search.text(err, "standard error")


def test_a_notebook_shows_no_credential(server, toys, search, tmp_path, password):
    """Good and bad runs, displays and errors with their whole stories, in a kernel that reads them from `.env`."""
    values = {
        "AWS_ACCESS_KEY_ID": server.key,
        "AWS_SECRET_ACCESS_KEY": server.secret,
        "AWS_ENDPOINT_URL": server.options()["endpoint_url"],
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        PASSWORD: password,
    }
    (tmp_path / "work").mkdir()
    (tmp_path / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in values.items()))
    head = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from intccms.utils.tools import load_dotenv
load_dotenv()
import os
from intccms import AnalysisRunner, load_config
from intccms.schema import WorkerEval
from tests.analysis.toys import toy_config
from tests.servers.test_secrets import skim_with_password
raw = toy_config([{{"name": "tt", "files": [{str(toys["tt"][0].path)!r}], "cross_sections": [1.0]}}], "run")
raw["preprocess"]["skimming"] |= {{
    "function": skim_with_password,
    "use": [("MET", "pt"), ("event", "event")],
    "static_kwargs": {{"password": WorkerEval(lambda: os.environ[{PASSWORD!r}])}},
    "output": {{"output_dir": "s3://bucket/notebook"}},
}}
raw["general"]["save_skimmed_output"] = True
config = load_config(raw)
config"""
    code = [
        head,
        "runner = AnalysisRunner(config); result = runner.histogram(); result",
        "result.report",
        "config.preprocess.skimming.output.to_kwargs = {'storage_options': {'secret': os.environ['AWS_SECRET_ACCESS_KEY']}}",
        "config.general.skimmed_dir = config.preprocess.skimming.output.output_dir = 's3://no-such-bucket/x'",
        "AnalysisRunner(config).histogram()",
        """
def leak(met, secret=os.environ['AWS_SECRET_ACCESS_KEY']):
    raise RuntimeError(secret)
raw['preprocess'] = {}
raw['channels'][1]['observables'][0] |= {'function': leak, 'use': [('MET', 'pt')]}
raw['general'] |= {'save_skimmed_output': False, 'output_dir': 'leaking'}""",
        "failed = AnalysisRunner(load_config(raw)).histogram(); failed.report",
        "raw['general']['executor'] = 'futures'; AnalysisRunner(load_config(raw)).histogram()",
    ]
    cells = [nbformat.v4.new_code_cell(text) for text in code]
    notebook = nbformat.v4.new_notebook(cells=cells)
    resources = {"metadata": {"path": str(tmp_path / "work")}}
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources=resources, allow_errors=True
    ).execute()
    errors = [
        [output["ename"] for output in cell.outputs if output["output_type"] == "error"]
        for cell in notebook.cells
    ]
    assert errors == [[], [], [], ["ConfigError"], [], ["OutputError"], [], [], ["ConfigError"]]
    assert "failed" in str(notebook.cells[-2].outputs)
    (tmp_path / "work" / "executed.ipynb").write_text(nbformat.writes(notebook))
    assert search.files(tmp_path / "work") > 10


def test_the_search_finds_what_is_planted_in_every_form(tmp_path):
    secret = f"Planted/{secrets.token_hex(8)}+="
    raw = secret.encode()
    planted = {
        "plain": b"x" + raw + b"y",
        "utf-16": secret.encode("utf-16"),
        "base64": base64.b64encode(b"me:" + raw + b"!"),
        "base64 of two more": base64.b64encode(b"me:12" + raw),
        "url": quote(secret, safe="").encode(),
        "gzip": gzip.compress(raw),
        "zstd behind a header": b"header" + pa.compress(raw, codec="zstd", asbytes=True) + b"behind it",
        "zlib": zlib.compress(raw),
        "packed twice": gzip.compress(zlib.compress(raw)),
        "pickle": cloudpickle.dumps({"secret": secret}),
    }
    for name, content in planted.items():
        (tmp_path / name).write_bytes(content)
    coffea.util.save({"secret": secret}, str(tmp_path / "output.coffea"))
    with zipfile.ZipFile(tmp_path / "zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside", raw)
    pq.write_table(
        pa.table({"x": [1]}).replace_schema_metadata({"secret": secret}), tmp_path / "metadata.parquet"
    )
    pq.write_table(pa.table({"x": [secret]}), tmp_path / "column.parquet", compression="zstd")
    search = Search(secret)
    search.files(tmp_path)
    found = {place.partition(":")[0].partition(",")[0] for place in search.found}
    assert found == {*planted, "output.coffea", "zip", "metadata.parquet", "column.parquet"}


def test_the_search_finds_what_hangs_on_an_error():
    secret = f"Planted/{secrets.token_hex(8)}"

    def fail(kind):
        error = ValueError("nothing here")
        try:
            {}[secret]
        except KeyError as exc:
            if kind == "note":
                error.add_note(secret)
                return error
            try:
                raise error from (exc if kind == "cause" else None)
            except ValueError as caught:
                return caught

    for kind in ("cause", "context", "note"):
        search = Search(secret)
        search.error(fail(kind), kind)
        assert search.found, kind


class TestWhatIsRefused:
    """Credentials that stand in a configuration as text."""

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            ({"secret": "S3cret/0123"}, "storage_options.secret"),
            ({"key": "S3cret/0123"}, "storage_options.key"),
            ({"token": "S3cret/0123"}, "storage_options.token"),
            (
                {"client_kwargs": {"aws_secret_access_key": "S3cret/0123"}},
                "client_kwargs.aws_secret_access_key",
            ),
            (
                {"client_kwargs": {"headers": {"Authorization": "Bearer S3cret/0123"}}},
                "headers.Authorization",
            ),
            ({"client_kwargs": {"auth": ("me", "S3cret/0123")}}, "client_kwargs.auth"),
            ({"config_kwargs": {"proxies": {"http": "http://me:S3cret%2F0123@host"}}}, "proxies.http"),
            ({"account_key": "S3cret/0123"}, "storage_options.account_key"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    @pytest.mark.parametrize("field", ["to_kwargs", "from_kwargs"])
    def test_a_text_in_the_options_of_a_file_system(self, toys, tmp_path, options, named, field):
        config = toy_config(datasets_of(toys, ("tt",)), tmp_path)
        config["preprocess"]["skimming"]["output"] = {field: {"storage_options": options}}
        with pytest.raises(
            ConfigError, match=rf"output.{field}: storage_options.*{named.rpartition('.')[2]}: .*WorkerEval"
        ) as caught:
            load_config(config)
        search = Search("S3cret/0123")
        search.error(caught.value, "error")
        assert search.found == []

    def test_what_is_no_credential_passes(self, toys, tmp_path):
        config = toy_config(datasets_of(toys, ("tt",)), tmp_path)
        options = {
            "anon": False,
            "profile": "cms",
            "token": "google_default",
            "secret": WorkerEval(lambda: os.environ[SECRET]),
            "endpoint_url": "https://s3.example:9000",
            "client_kwargs": {"region_name": "eu", "verify": False},
            "key": None,
        }
        config["preprocess"]["skimming"]["output"] = {"to_kwargs": {"storage_options": options}}
        assert load_config(config).preprocess.skimming.output.to_kwargs["storage_options"] == options

    @pytest.mark.parametrize(
        "path",
        [
            "general.skimmed_dir",
            "general.ledger_url",
            "preprocess.skimming.output.output_dir",
            "datasets.base_dir",
        ]
        + [f"datasets.datasets.tt.{name}" for name in ("redirector", "files")],
    )
    @pytest.mark.parametrize(
        "url", ["root://me:S3cret%2F0123@host//store", "https://host/x?authz=Bearer%20S3cret%2F0123"]
    )
    def test_a_url(self, toys, tmp_path, path, url):
        config = load_config(toy_config(datasets_of(toys, ("tt",)), tmp_path))
        with pytest.raises(ConfigError, match=r"(host//store|authz=\*\*\*)' holds a credential") as caught:
            load_config(config, [f"{path}={url}"])
        search = Search("S3cret/0123")
        search.error(caught.value, "error")
        assert search.found == []

    def test_a_url_in_a_listing(self, toys, tmp_path):
        (tmp_path / "tt.txt").write_text("root://me:S3cret@host//store/a.root\n")
        config = toy_config(datasets_of(toys, ("tt",)), tmp_path)
        config["datasets"]["datasets"][0]["files"] = [str(tmp_path / "tt.txt")]
        with pytest.raises(ConfigError, match=r"dataset 'tt': 'root://me:\*\*\*@host//store/a.root' holds"):
            AnalysisRunner(load_config(config), progress=False).metadata()

    @pytest.mark.parametrize("kind", ["closure", "default", "constant"])
    def test_the_value_of_a_variable_goes_to_no_worker(self, kind, monkeypatch):
        monkeypatch.setenv("MY_STORE_TOKEN", "Tok/0123456789")
        value = os.environ["MY_STORE_TOKEN"]
        function = {
            "closure": lambda: value,
            "default": lambda value=value: value,
            "constant": partial(passing_on, value),
        }[kind]
        with pytest.raises(
            ConfigError, match=r"holds a credential \(the environment variable MY_STORE_TOKEN\)"
        ):
            pickled(WorkerEval(function))

    def test_the_environment_goes_to_workers_by_name(self, monkeypatch):
        monkeypatch.setenv("MY_STORE_TOKEN", "Tok/0123456789")
        content = pickled(WorkerEval(lambda: os_environ["MY_STORE_TOKEN"]))
        assert b"Tok/" not in content
        monkeypatch.setenv("MY_STORE_TOKEN", "Another/0123456789")
        assert cloudpickle.loads(content)() == "Another/0123456789"


@pytest.mark.parametrize("fault", ["wrong secret", "no bucket", "killed"])
def test_no_error_of_a_server_shows_what_it_was_asked_with(fault, monkeypatch):
    """What hangs on the error is searched too, though nobody prints it."""
    secret = f"Marked/{secrets.token_hex(12)}+"
    with s3(f"AKIA{secrets.token_hex(8).upper()}", secret) as own:
        options = from_worker_eval(monkeypatch, own)
        if fault == "wrong secret":
            secret = f"Wrong/{secrets.token_hex(12)}+"
            monkeypatch.setenv(SECRET, secret)
        place = "s3://nowhere/x" if fault == "no bucket" else "s3://bucket/x"
        if fault == "killed":
            own.kill()
        for act in (lambda it: it.put("a", b"b"), lambda it: it.get("a")):
            search = Search(secret)
            with pytest.raises((OutputError, FileNotFoundError)) as caught:
                act(Storage(place, options, patience=1.0))
            search.error(caught.value, "error")
            assert search.found == []


def test_values_are_computed_on_the_worker_at_each_use(monkeypatch):
    """The worker has a variable that the client lacks, and it changes between two uses."""
    monkeypatch.delenv(SECRET, raising=False)
    value = WorkerEval(lambda: os.environ[SECRET])
    with pytest.raises(KeyError):
        value()
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with (
        dask.config.set({"distributed.nanny.environ": {SECRET: "first"}}),
        LocalCluster(**options) as cluster,
        Client(cluster) as client,
    ):
        executor = Dask(client)
        task = partial(used, value)
        assert list(executor.map(task, ["second", "third"], width=1)) == [
            ["first", "second"],
            ["second", "third"],
        ]


def used(value, following):
    """Use a value twice, with a change of the environment in between."""
    before = call(passing_on, [value], {}, "here")
    os.environ[SECRET] = following
    return [before, call(passing_on, [], {"values": value}, "here")]
