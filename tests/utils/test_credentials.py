"""What is said of proxies, tokens and keys that a server does not accept; no server is needed for it."""

from __future__ import annotations

import platform
import shutil
import subprocess

import pytest

from intccms.datasets.reading import refused_user
from intccms.errors import BrokenFileError, CredentialsError, FunctorError
from intccms.utils.credentials import is_user_refused, refusal_text

URL = "root://host//store/a.root"
REFUSAL = OSError("Failed to open file: [FATAL] Auth failed: No protocols left to try")
RENEW = "`voms-proxy-init --voms cms --valid 192:00`"


class S3Error(Exception):
    """As botocore has it."""

    def __init__(self, code):
        super().__init__(f"An error occurred ({code})")
        self.response = {"Error": {"Code": code}}


def translated(cause):
    """As s3fs does it."""
    error = PermissionError(str(cause))
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("exc", "expected"),
    [
        (REFUSAL, True),
        (OSError("[ERROR] Server responded with an error: [3030] Secgsi: no proxy"), True),
        (OSError("[ERROR] Server responded with an error: [3010] Unable to open; permission denied"), False),
        (OSError("Failed to open file: [ERROR] Operation expired"), False),
        (RuntimeError("Auth failed"), False),
        (translated(S3Error("InvalidAccessKeyId")), True),
        (translated(S3Error("SignatureDoesNotMatch")), True),
        (translated(S3Error("ExpiredToken")), True),
        (translated(S3Error("AccessDenied")), False),
        (PermissionError(13, "Permission denied"), False),
    ],
    ids=str,
)
def test_a_refusal_of_the_user_is_told_from_one_of_a_file(exc, expected):
    assert is_user_refused(exc) is expected


def test_while_a_file_is_read_the_refusal_is_found_behind_what_a_function_made_of_it():
    def broken():
        error = BrokenFileError("cannot read")
        error.url = URL
        raise error from REFUSAL

    def function():
        try:
            broken()
        except BrokenFileError as exc:
            message = "the function raised"
            raise FunctorError(message) from exc

    with pytest.raises(FunctorError) as caught:
        function()
    assert isinstance(refused_user(caught.value), CredentialsError)
    assert f"cannot read {URL}" in str(refused_user(caught.value))
    # what a function raises by itself is about something else
    assert refused_user(REFUSAL) is None


@pytest.fixture
def proxy(tmp_path, monkeypatch):
    path = tmp_path / "proxy"
    monkeypatch.setenv("X509_USER_PROXY", str(path))
    for name in ("X509_CERT_DIR", "BEARER_TOKEN", "BEARER_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    return path


class TestProxyText:
    def test_it_names_file_variable_machine_and_remedy(self, proxy):
        text = refusal_text(URL, REFUSAL)
        assert text.startswith(f"{URL}: the server, as seen from {platform.node()}, does not accept who asks")
        assert "Auth failed: No protocols left to try" in text
        assert f"looked for at {proxy} (X509_USER_PROXY), which does not exist." in text
        assert f"Get a new one with {RENEW}" in text
        assert text.endswith("run the same command again: what was done is kept.")

    def test_one_that_cannot_be_read_says_why(self, proxy):
        proxy.mkdir()
        assert f"{proxy} (X509_USER_PROXY), which cannot be read (Is a directory)." in refusal_text(
            URL, REFUSAL
        )

    @pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the program openssl")
    def test_one_that_is_something_else_says_so(self, proxy):
        proxy.write_text("a page")
        assert "which holds no certificate." in refusal_text(URL, REFUSAL)

    @pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the program openssl")
    @pytest.mark.parametrize("given", [True, False])
    def test_one_that_is_fine_leads_to_the_authorities(self, proxy, tmp_path, monkeypatch, given):
        new = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3", "-subj", "/CN=alice"]
        files = ["-keyout", str(tmp_path / "key"), "-out", str(proxy)]
        subprocess.run(["openssl", "req", *new, *files], check=True, capture_output=True)
        folder, origin = "/etc/grid-security/certificates", "the default; X509_CERT_DIR is not set"
        if given:
            folder, origin = str(tmp_path), "X509_CERT_DIR"
            monkeypatch.setenv("X509_CERT_DIR", folder)
        text = refusal_text(URL, REFUSAL)
        assert "which is valid for another 2 days, until " in text
        assert f"the authorities are looked for in {folder} ({origin}), which " in text
        assert RENEW not in text

    def test_without_openssl_it_may_have_expired(self, proxy, tmp_path, monkeypatch):
        proxy.write_text("a proxy")
        monkeypatch.setenv("PATH", str(tmp_path))
        text = refusal_text(URL, REFUSAL)
        assert "which may have expired (there is no program openssl that could tell)." in text
        assert RENEW in text

    def test_tokens_are_named_and_not_shown(self, proxy, tmp_path, monkeypatch):
        token = tmp_path / "token"
        monkeypatch.setenv("BEARER_TOKEN_FILE", str(token))
        assert f"in {token} (BEARER_TOKEN_FILE); the file does not exist" in refusal_text(URL, REFUSAL)
        token.write_text("abc")
        assert f"in {token} (BEARER_TOKEN_FILE); look whether it has expired" in refusal_text(URL, REFUSAL)
        monkeypatch.setenv("BEARER_TOKEN", "a-token-0123")
        text = refusal_text(URL, OSError("Auth failed for a-token-0123"))
        assert "A token is given in BEARER_TOKEN; look whether it has expired." in text
        assert "a-token-0123" not in text


def test_text_on_keys_says_which_variables_are_set_and_shows_none(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-key-0123")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    text = refusal_text("s3://bucket/a.root", PermissionError("The key a-key-0123 does not exist"))
    assert "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not set" in text
    assert f"{tmp_path / 'none'} does not exist" in text
    assert "a-key-0123" not in text
