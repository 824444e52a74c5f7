"""Which errors of servers are worth a further attempt, and when it is enough."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time

import aiohttp
import botocore.exceptions
import pytest

from intccms.utils.patience import Deadline
from intccms.utils.remote import is_transient, persistently


def answer(status):
    return botocore.exceptions.ClientError(
        {"Error": {"Code": "X"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject"
    )


def translated(status):
    error = OSError(errno.EIO, f"as s3fs raises {status}")
    error.__cause__ = answer(status)
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (OSError(errno.EBUSY, "SlowDown"), True),
        (translated(503), True),
        (translated(429), True),
        (answer(500), True),
        (aiohttp.ClientPayloadError(), True),
        (aiohttp.ServerDisconnectedError(), True),
        (botocore.exceptions.EndpointConnectionError(endpoint_url="x"), True),
        (botocore.exceptions.ConnectionClosedError(endpoint_url="x"), True),
        (botocore.exceptions.SSLError(endpoint_url="x", error="certificate"), False),
        (botocore.exceptions.NoCredentialsError(), False),
        (translated(400), False),
        (FileNotFoundError(), False),
        (PermissionError(), False),
        (OSError(errno.ENOSPC, "full"), False),
        (NotImplementedError(), False),
    ],
    ids=repr,
)
def test_only_what_may_pass_is_transient(error, expected):
    assert is_transient(error) is expected


def test_attempts_are_made_until_one_succeeds():
    errors = [ConnectionError("lost"), OSError(errno.EBUSY, "busy")]

    def attempt():
        if errors:
            raise errors.pop()
        return 5

    assert persistently(attempt, Deadline(5)) == 5


def test_attempts_end_at_the_deadline_and_the_error_tells_of_the_last_one():
    def attempt():
        message = "lost"
        raise ConnectionError(message)

    start = time.perf_counter()
    with pytest.raises(TimeoutError, match=r"given up after 0 s and 2 attempts: lost") as caught:
        persistently(attempt, Deadline(0.25))
    assert time.perf_counter() - start < 5  # and not for ever
    assert isinstance(caught.value.__cause__, ConnectionError)


def test_an_error_that_will_not_pass_is_raised_as_it_is():
    def attempt():
        raise PermissionError

    with pytest.raises(PermissionError):
        persistently(attempt, Deadline(5))


def test_progress_renews_a_deadline_only_beyond_what_was_reached_before():
    deadline = Deadline(0.2)
    time.sleep(0.1)
    deadline.reached(1000)
    assert deadline.left > 0.15
    time.sleep(0.1)
    deadline.reached(1000)
    assert deadline.left < 0.15


def test_uploads_have_time_for_their_size():
    assert 11.9 < Deadline(2, size=10_000_000).left <= 12  # 1 MB/s


def printed_patience(value):
    code = "from intccms.utils.patience import PATIENCE; print(PATIENCE)"
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "INTCCMS_PATIENCE": value},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("value", "expected"), [("", "30.0"), ("7", "7.0"), ("1.5", "1.5")])
def test_the_user_chooses_the_patience(value, expected):
    assert printed_patience(value).stdout.strip() == expected


@pytest.mark.parametrize("value", ["soon", "0", "-3", "nan", "inf"])
def test_a_patience_that_is_none_is_refused(value):
    errors = printed_patience(value).stderr
    assert f"INTCCMS_PATIENCE is '{value}', expected a number of seconds, at least 1" in errors
