"""Servers that ask for a grid proxy or a key: without a good one the run ends at once, and says what to do."""

from __future__ import annotations

import os
import platform
import time

import awkward as ak
import pytest

from tests.analysis.breaking import assert_same_bits, bits, calls_in, report_of
from tests.analysis.toys import dataset, write_toy
from tests.servers.gsi import grid
from tests.servers.runs import truth

NAMES = ("/store/tt_0.root", "/store/tt_1.root")
RENEW = "voms-proxy-init --voms cms --valid 192:00"


@pytest.fixture(scope="module")
def authority():
    with grid() as made:
        yield made


@pytest.fixture(scope="module")
def guarded_server(authority):
    with authority.server() as started:
        yield started


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    """Two files of two chunks each."""
    folder = tmp_path_factory.mktemp("toys")
    return [write_toy(folder / f"tt_{index}.root", 180, 1 + index) for index in range(2)]


@pytest.fixture(scope="module")
def proxies(authority, tmp_path_factory):
    folder = tmp_path_factory.mktemp("proxies")
    return {
        "good": authority.write_proxy(folder / "good"),
        "expired": authority.write_proxy(folder / "expired", seconds=0),
        "missing": folder / "missing",
    }


@pytest.fixture
def guarded(guarded_server, toys):
    """A server that asks for a proxy, with the files."""
    guarded_server.mend()
    copy_to(guarded_server, toys)
    return guarded_server


def copy_to(server, toys):
    for toy in toys:
        (server.files / toy.path.name).write_bytes(toy.path.read_bytes())


def remote(toys, *servers):
    redirectors = [server if isinstance(server, str) else server.host for server in servers]
    return {**dataset("tt", *toys), "files": list(NAMES), "redirector": redirectors}


class TestProxies:
    @pytest.mark.parametrize("executor", ["iterative", "futures", "dask"])
    @pytest.mark.parametrize("kind", ["expired", "missing"])
    def test_a_proxy_that_is_no_good_ends_the_run_at_once_with_its_name(
        self, authority, proxies, guarded, toys, user_run, kind, executor
    ):
        environment = authority.environment(proxies[kind])
        run = user_run([remote(toys, guarded)], environment=environment, executor=executor, workers=2)
        status, text = run.wait()
        assert status == 2, text
        said = " ".join(text.split())
        fault = {"expired": "which expired 0:0", "missing": "which does not exist"}[kind]
        assert f"is looked for at {proxies[kind]} (X509_USER_PROXY), {fault}" in said
        assert f"cannot read {guarded.url}/tt_" in said
        assert platform.node() in said
        assert RENEW in said
        assert "Traceback" not in text
        assert text.count("Auth failed") == 1

    def test_a_good_proxy_is_enough_and_the_results_are_those_of_local_files(
        self, authority, proxies, guarded, toys, user_run, tmp_path
    ):
        run = user_run([remote(toys, guarded)], environment=authority.environment(proxies["good"]))
        status, text = run.wait()
        assert status == 0, text
        assert_same_bits(bits(tmp_path / "run/out"), truth(tmp_path / "truth", [dataset("tt", *toys)]))

    def test_another_replica_serves_without_a_proxy(
        self, authority, proxies, guarded, xrootd_server, toys, user_run, tmp_path
    ):
        copy_to(xrootd_server, toys)
        environment = authority.environment(proxies["expired"])
        status, text = user_run([remote(toys, guarded, xrootd_server)], environment=environment).wait()
        assert status == 0, text
        (note,) = [one for one in report_of(tmp_path / "run/out")["notes"] if "replica" in one]
        assert note.startswith(
            f"tt: 2 files could not be read from {guarded.host}, and the metadata came from"
        )
        assert "Auth failed" in note

    def test_an_expired_proxy_stops_nothing_where_nobody_asks_for_one(
        self, authority, proxies, xrootd_server, toys, user_run
    ):
        copy_to(xrootd_server, toys)
        environment = authority.environment(proxies["expired"])
        status, text = user_run([remote(toys, xrootd_server)], environment=environment).wait()
        assert status == 0, text

    @pytest.mark.parametrize("executor", ["iterative", "futures"])
    def test_a_proxy_that_expires_in_the_run_ends_it_and_what_was_done_is_kept(
        self, authority, proxies, guarded, toys, user_run, tmp_path, executor
    ):
        used = authority.write_proxy(tmp_path / "proxy", seconds=12)
        end = time.monotonic() + 12
        third = int(toys[1].columns["event"][0])
        settings = {"environment": authority.environment(used), "executor": executor, "workers": 1}
        run = user_run([remote(toys, guarded)], at=third, **settings)
        run.until_it_waits()
        time.sleep(max(0.0, end + 1 - time.monotonic()))
        guarded.restart()  # connections that were made before need no proxy any more
        before = run.go_on()
        status, text = run.wait()
        assert status == 2, text
        assert f"{used} (X509_USER_PROXY), which expired" in " ".join(text.split())
        assert time.monotonic() - before < 20
        calls = calls_in(tmp_path / "run/calls")
        used.write_bytes(proxies["good"].read_bytes())
        status, text = user_run([remote(toys, guarded)], at=third, **settings).wait()
        assert status == 0, text
        assert sorted(calls_in(tmp_path / "run/calls")[len(calls) :]) == [third, third + 90]
        assert_same_bits(bits(tmp_path / "run/out"), truth(tmp_path / "truth", [dataset("tt", *toys)]))

    def test_where_the_proxy_is_good_the_authorities_and_tokens_are_named(
        self, authority, proxies, guarded, toys, user_run, tmp_path
    ):
        environment = {
            **authority.environment(proxies["good"]),
            "X509_CERT_DIR": str(tmp_path / "nowhere"),
            "BEARER_TOKEN_FILE": str(tmp_path / "token"),
        }
        status, text = user_run([remote(toys, guarded)], environment=environment).wait()
        assert status == 2, text
        said = " ".join(text.split())
        assert "which is valid for another 11:5" in said
        assert f"looked for in {tmp_path / 'nowhere'} (X509_CERT_DIR), which does not exist" in said
        assert f"{tmp_path / 'token'} (BEARER_TOKEN_FILE); the file does not exist" in said

    @pytest.mark.parametrize("what", ["skimmed_dir", "ledger_url"])
    def test_where_results_are_written_the_same_is_said(
        self, authority, proxies, guarded, toys, user_run, new_name, what
    ):
        settings = {what: f"{guarded.url}/{new_name}", "save_skimmed_output": True}
        environment = authority.environment(proxies["expired"])
        status, text = user_run([dataset("tt", *toys)], environment=environment, **settings).wait()
        assert status == 2, text
        said = " ".join(text.split())
        assert f"{guarded.url}/{new_name}" in said
        assert f"{proxies['expired']} (X509_USER_PROXY), which expired" in said
        assert "Traceback" not in text

    def test_a_pattern_that_cannot_be_listed_says_the_same(self, authority, proxies, guarded, toys, user_run):
        one = {**dataset("tt", *toys), "files": [f"{guarded.url}/*.root"]}
        status, text = user_run([one], environment=authority.environment(proxies["expired"])).wait()
        assert status == 2, text
        assert f"cannot list {guarded.url}/*.root" in " ".join(text.split())
        assert RENEW in " ".join(text.split())


class TestKeys:
    """Input on S3; the servers' addresses and keys are in variables, as s3fs reads them."""

    @pytest.fixture
    def bucket(self, s3_server, toys):
        folder = s3_server.files / "bucket/store"
        folder.mkdir(exist_ok=True)
        for toy in toys:
            (folder / toy.path.name).write_bytes(toy.path.read_bytes())
        options = s3_server.options()
        return {
            "AWS_ENDPOINT_URL": options["endpoint_url"],
            "AWS_ACCESS_KEY_ID": options["key"],
            "AWS_SECRET_ACCESS_KEY": options["secret"],
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
            # rclone answers a request for a range with the checksum of the whole
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        }

    def test_files_are_read_with_the_key_in_the_environment(self, bucket, toys, user_run, tmp_path):
        status, text = user_run([remote(toys, "s3://bucket")], environment=bucket).wait()
        assert status == 0, text
        assert_same_bits(bits(tmp_path / "run/out"), truth(tmp_path / "truth", [dataset("tt", *toys)]))

    @pytest.mark.parametrize(
        ("name", "fault"),
        [("AWS_ACCESS_KEY_ID", "does not exist in our records"), ("AWS_SECRET_ACCESS_KEY", "signature")],
        ids=["key", "secret"],
    )
    @pytest.mark.parametrize("executor", ["iterative", "futures"])
    def test_a_wrong_one_ends_the_run_at_once_and_is_not_shown(
        self, bucket, toys, user_run, name, fault, executor
    ):
        environment = {**bucket, name: "a-wrong-one-0123"}
        settings = {"environment": environment, "executor": executor, "workers": 2}
        status, text = user_run([remote(toys, "s3://bucket")], **settings).wait()
        assert status == 2, text
        said = " ".join(text.split())
        assert "cannot read s3://bucket/store/tt_" in said
        assert fault in said
        assert "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is set" in said
        assert "Traceback" not in text
        assert not any(value in text for value in ("wrong-one", bucket["AWS_SECRET_ACCESS_KEY"]))

    @pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
    def test_a_wrong_one_ends_the_run_for_parquet_files_too(self, bucket, s3_server, toys, user_run, name):
        columns = {name: ak.Array(values) for name, values in toys[0].columns.items()}
        path = s3_server.files / "bucket/store/tt_0.parquet"
        ak.to_parquet(ak.zip(columns, depth_limit=1), str(path), extensionarray=False)
        one = {**remote(toys, "s3://bucket"), "files": ["/store/tt_0.parquet"]}
        status, text = user_run([one], environment={**bucket, name: "a-wrong-one-0123"}).wait()
        path.unlink()
        assert status == 2, text
        said = " ".join(text.split())
        assert "cannot read s3://bucket/store/tt_0.parquet" in said
        assert "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is set" in said
        assert "wrong-one" not in text

    def test_none_at_all_ends_the_run_at_once(self, bucket, toys, user_run):
        lacking = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        run = user_run([remote(toys, "s3://bucket")], environment=bucket, without=lacking)
        status, text = run.wait()
        assert status == 2, text
        assert "Unable to locate credentials" in text
        assert "AWS_ACCESS_KEY_ID is not set" in " ".join(text.split())

    def test_a_bucket_that_is_missing_is_named(self, bucket, toys, user_run):
        status, text = user_run([remote(toys, "s3://nowhere")], environment=bucket).wait()
        assert status == 2, text
        assert f"s3://nowhere{NAMES[0]}: FileNotFoundError: The specified bucket does not exist" in text

    def test_a_file_that_may_not_be_read_costs_itself_only(
        self, bucket, s3_server, delay_proxy, toys, user_run, tmp_path
    ):
        before = delay_proxy(s3_server.port)
        before.answer(403, "AccessDenied", times=1)
        environment = {**bucket, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{before.port}"}
        status, text = user_run([remote(toys, "s3://bucket")], environment=environment).wait()
        assert status == 1, text
        report = report_of(tmp_path / "run/out")
        (failed,) = [chunk for group in report["failures"] for chunk in group["chunks"]]
        assert (failed["file"], failed["start"]) == (NAMES[0], None)
        assert report["datasets"][0]["processed"] == 180


def test_the_default_place_of_the_proxy_is_named_where_no_variable_says_another(
    authority, proxies, guarded, toys, user_run
):
    environment = authority.environment(proxies["missing"])
    default = f"/tmp/x509up_u{os.getuid()}"
    if os.path.exists(default):  # noqa: PTH110
        pytest.skip(f"there is a proxy of the user of these tests, {default}")
    run = user_run([remote(toys, guarded)], environment=environment, without=("X509_USER_PROXY",))
    status, text = run.wait()
    assert status == 2, text
    said = " ".join(text.split())
    assert f"{default} (the default; X509_USER_PROXY is not set), which does not exist" in said
