"""Servers that refuse the user: how to tell, which credentials were used, what is wrong with them and what to do.

A refusal of one file, for a user whom the server knows, is none of these: it is that file's failure.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from intccms.schema.secrets import masked_text, without_known
from intccms.utils.remote import error_text, raised_by
from intccms.utils.urls import is_s3

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["is_user_refused", "refusal_text"]

_XROOTD_REFUSES = re.compile(r"\bAuth failed\b|\[3030\]")
"""What XRootD's client says, and its number of the protocol (kXR_AuthFailed); types of errors do not tell."""

_S3_REFUSES = frozenset(
    {
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidSecurity",
        "InvalidToken",
        "NotSignedUp",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)
"""Codes of S3 for whoever signed the request; ``AccessDenied`` is about what was asked for."""

_CERTIFICATES = "/etc/grid-security/certificates"
_RENEW = "voms-proxy-init --voms cms --valid 192:00"
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def is_user_refused(exc: BaseException | None) -> bool:
    """Tell whether an error, or one that it goes back to, says that a server wants other credentials of the user."""
    while exc is not None:
        if _is_refusal(exc):
            return True
        exc = exc.__cause__ or exc.__context__
    return False


def _is_refusal(exc: BaseException) -> bool:
    lacking = (
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "TokenRetrievalError",
        "UnauthorizedSSOTokenError",
        "SSOTokenLoadError",
    )
    if isinstance(exc, raised_by("botocore.exceptions", *lacking)):
        return True
    answer = getattr(exc, "response", None)
    if isinstance(answer, dict):
        return answer.get("Error", {}).get("Code") in _S3_REFUSES
    return isinstance(exc, OSError) and _XROOTD_REFUSES.search(str(exc)) is not None


def refusal_text(url: str, exc: BaseException) -> str:
    """Return the message for the user, from the process that was refused: workers have their own credentials.

    Parameters
    ----------
    url
        What was asked for.
    exc
        The refusal.
    """
    said = without_known(error_text(exc)).rstrip(".")[:300]
    advice = _about_keys() if is_s3(url) else _about_proxy()
    return (
        f"{masked_text(url)}: the server, as seen from {platform.node()}, does not accept who asks ({said}). {advice} "
        "Then run the same command again: what was done is kept."
    )


def _about_keys() -> str:
    key, secret = ("is set" if os.environ.get(name) else "is not set" for name in _KEYS)
    file = os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
    there = "exists" if Path(file).expanduser().is_file() else "does not exist"
    return (
        f"There, AWS_ACCESS_KEY_ID {key} and AWS_SECRET_ACCESS_KEY {secret}, and {file} {there}. Give the key and the "
        "secret that belong to the server (AWS_ENDPOINT_URL, if it is not that of Amazon)."
    )


def _about_proxy() -> str:
    given = os.environ.get("X509_USER_PROXY")
    path = Path(given or f"/tmp/x509up_u{os.getuid()}")
    origin = "X509_USER_PROXY" if given else "the default; X509_USER_PROXY is not set"
    fault, fact = _state(path)
    where = f"There, the grid proxy is looked for at {path} ({origin}), which {fact}."
    renew = f"Get a new one with `{_RENEW}`, where the process that asks can read it."
    return " ".join((where, *_about_tokens(), renew if fault else _about_authorities()))


def _state(path: Path) -> tuple[bool, str]:
    """Tell whether something is wrong with a proxy, and what is known of it."""
    try:
        path.read_bytes()
    except FileNotFoundError:
        return True, "does not exist"
    except OSError as exc:
        return True, f"cannot be read ({exc.strerror})"
    openssl = shutil.which("openssl")
    if openssl is None:
        return True, "may have expired (there is no program openssl that could tell)"
    end = _end_of_validity(openssl, path)
    if end is None:
        return True, "holds no certificate"
    left = (end - datetime.now(UTC)).total_seconds()
    when = f"{end:%Y-%m-%d %H:%M} UTC"
    if left <= 0:
        return True, f"expired {_duration(-left)} ago, at {when}"
    return False, f"is valid for another {_duration(left)}, until {when}"


def _end_of_validity(openssl: str, path: Path) -> datetime | None:
    """Return the end of the first certificate of a file, which is that of the proxy; None if there is none."""
    command = [openssl, "x509", "-in", str(path), "-noout", "-enddate"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
        text = done.stdout.strip().removeprefix("notAfter=").removesuffix(" GMT")
        return datetime.strptime(text, "%b %d %H:%M:%S %Y").replace(tzinfo=UTC)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def _duration(seconds: float) -> str:
    hours, minutes = divmod(int(seconds // 60), 60)
    return f"{hours // 24} days" if hours >= 48 else f"{hours}:{minutes:02d} h"


def _about_authorities() -> str:
    given = os.environ.get("X509_CERT_DIR")
    folder = given or _CERTIFICATES
    there = "exists" if Path(folder).is_dir() else "does not exist"
    return (
        f"So the server does not know the user (is the proxy of its organisation: `voms-proxy-info --all`?), or one "
        f"side does not trust the other: the authorities are looked for in {folder} "
        f"({'X509_CERT_DIR' if given else 'the default; X509_CERT_DIR is not set'}), which {there}."
    )


def _about_tokens() -> Iterator[str]:
    if os.environ.get("BEARER_TOKEN"):
        yield "A token is given in BEARER_TOKEN; look whether it has expired."
    elif file := os.environ.get("BEARER_TOKEN_FILE"):
        there = "look whether it has expired" if Path(file).is_file() else "the file does not exist"
        yield f"A token is given in {file} (BEARER_TOKEN_FILE); {there}."
