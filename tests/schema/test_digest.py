"""Digests of values: what counts, what does not, and what cannot be digested.

Expected equalities and differences follow from Python's own notion of type and value, not from stored hashes.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import functools
import operator
import re
import socket
import threading
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, NamedTuple

import hist
import numba
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from intccms.errors import ConfigError
from intccms.schema.digest import digest, function_digest


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Pair(NamedTuple):
    first: int
    second: int = 0


@dataclasses.dataclass
class Window:
    low: float
    high: float = 10.0
    note: str = dataclasses.field(default="", metadata={"digest": False})


@dataclasses.dataclass
class OtherWindow:
    low: float
    high: float = 10.0


class Settings(BaseModel):
    pt: float = 30.0
    output: Annotated[str, Field(json_schema_extra={"digest": False})] = "here"


class Secret:
    __digest_exclude__ = True

    def __init__(self, value: object) -> None:
        self.value = value


class Threshold:
    def __init__(self, pt: float) -> None:
        self.pt = pt

    def __call__(self, pt: float) -> bool:
        return pt > self.pt

    @functools.cached_property
    def squared(self) -> float:
        return self.pt**2


def _regular(bins: int = 10, **options: Any) -> hist.axis.Regular:
    return hist.axis.Regular(bins, 0, 100, name="pt", **options)


DISTINCT = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2**70,
    0.0,
    -0.0,
    1.0,
    float("nan"),
    float("inf"),
    -float("inf"),
    1 + 0j,
    "1",
    "None",
    b"1",
    bytearray(b"1"),
    "",
    b"",
    ...,
    (),
    [],
    set(),
    frozenset(),
    {},
    (1,),
    [1],
    {1},
    {1: 1},
    {1: True},
    {"1": 1},
    [1, 2],
    [2, 1],
    [[1], 2],
    [[1, 2]],
    ["ab", "c"],
    ["a", "bc"],
    {"a": {"b": 1}},
    {"a": {}, "b": 1},
    range(3),
    slice(1, 2),
    PurePosixPath("1"),
    PurePosixPath("a/b"),
    Colour.RED,
    Colour.BLUE,
    Colour,
    dt.date(2024, 1, 2),
    dt.datetime(2024, 1, 2),  # noqa: DTZ001
    dt.datetime(2024, 1, 2, tzinfo=dt.UTC),
    dt.timedelta(days=1),
    re.compile("a"),
    re.compile("a", re.IGNORECASE),
    np.float64(1.0),
    np.float32(1.0),
    np.int64(1),
    np.bool_(True),
    np.str_("1"),
    np.datetime64("2024-01-02"),
    np.array([1, 2]),
    np.array([[1, 2]]),
    np.array([[1], [2]]),
    np.array([1, 2], dtype="int32"),
    np.array([1.0, 2.0]),
    np.array(["a", None], dtype=object),
    np.array(["b", None], dtype=object),
    np.array([(1, 2.0)], dtype=[("n", "i4"), ("x", "f8")]),
    np.array([(1, 2.0)], dtype=[("m", "i4"), ("x", "f8")]),
    np.array(["a", "bb"], dtype=np.dtypes.StringDType()),
    np.array(["a", "bc"], dtype=np.dtypes.StringDType()),
    np.ma.MaskedArray([1, 2], mask=[False, True]),
    np.ma.MaskedArray([1, 2], mask=[False, False]),
    np.dtype("float64"),
    np.float64,
    np,
    re,
    Pair(1, 2),
    Pair(2, 1),
    Pair,
    Window(1.0),
    Window(2.0),
    OtherWindow(1.0),
    Settings(),
    Settings(pt=31.0),
    Threshold(1.0),
    Threshold(2.0),
    Threshold(1.0).__call__,
    collections.OrderedDict(a=1),
    collections.defaultdict(list, a=1),
    collections.defaultdict(set, a=1),
    collections.deque([1, 2]),
    _regular(),
    _regular(11),
    _regular(overflow=False),
    _regular(transform=hist.axis.transform.sqrt),
    hist.axis.Variable(np.linspace(0, 100, 11), name="pt"),
    hist.axis.StrCategory(["a"], name="c"),
    hist.axis.StrCategory(["b"], name="c"),
    hist.axis.StrCategory(["a"], name="c", growth=True),
    functools.partial(operator.add, 1),
    functools.partial(operator.add, 2),
    functools.partial(operator.sub, 1),
    operator.itemgetter(0),
    operator.itemgetter(1),
    operator.attrgetter("pt"),
    len,
    np.sum,
    np.add,
    np.abs,
    str.upper,
    "a".upper,
    "b".upper,
    int,
    list[int],
    list[float],
    int | None,
]


def test_values_that_differ_in_type_or_content_have_different_digests() -> None:
    seen: dict[str, object] = {}
    for value in DISTINCT:
        assert seen.setdefault(digest(value), value) is value, f"{value!r} has the digest of another value"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"x", "y", "zz"}, {"zz", "y", "x"}),
        (float("nan"), -float("nan")),
        (np.float64(2.5), np.array([2.5])[0]),
        (np.arange(6).reshape(2, 3), np.asfortranarray(np.arange(6).reshape(2, 3))),
        pytest.param(np.arange(10)[::2], np.array([0, 2, 4, 6, 8]), id="strided"),
        (Path("a/b"), PurePosixPath("a//b")),
        (Window(1.0, note="x"), Window(1.0, note="y")),
        (Settings(output="here"), Settings(output="there")),
        (Secret("password"), Secret(["another", threading.Lock()])),
        (_regular(), _regular()),
        (hist.axis.StrCategory(["a"]), hist.axis.StrCategory(["a"])),
        (functools.partial(max, 1, key=abs), functools.partial(max, 1, key=abs)),
        (re.compile("a|b"), re.compile("a|b")),
        (collections.OrderedDict(a=1, b=[2]), collections.OrderedDict(a=1, b=[2])),
        (collections.Counter("abc"), collections.Counter("cba")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_with_the_same_content_have_the_same_digest(one: object, other: object) -> None:
    assert digest(one) == digest(other)


def test_sharing_an_object_is_not_content() -> None:
    item = [1, 2]

    assert digest([item, item]) == digest([[1, 2], [1, 2]])


def test_the_result_of_a_cached_property_is_not_content() -> None:
    threshold = Threshold(2.0)
    before = digest(threshold)

    assert threshold.squared == 4.0
    assert digest(threshold) == before


def test_an_excluded_object_counts_by_the_name_of_its_class() -> None:
    class Other:
        __digest_exclude__ = True

    assert digest({"key": Secret(1)}) != digest({"key": Other()})
    assert digest({"key": Secret(1)}) != digest({"key": 1})


def test_a_container_that_holds_itself_has_a_digest() -> None:
    one: list[Any] = [1]
    one.append(one)
    other: list[Any] = [2]
    other.append(other)

    assert digest(one) != digest(other)


@numba.njit
def _compiled(x: float) -> float:
    return x + 1.0


@numba.njit(fastmath=True)
def _compiled_fast(x: float) -> float:
    return x + 1.0


@numba.vectorize
def _vectorised(x: float) -> float:
    return x + 1.0


@numba.vectorize
def _vectorised_otherwise(x: float) -> float:
    return x + 2.0


def test_compiled_functions_count_by_their_python_function_and_options() -> None:
    before = digest(_compiled)
    assert _compiled(1.0) == 2.0

    assert digest(_compiled) == before, "compiling for a type is not a change"
    values = [_compiled, _compiled_fast, _vectorised, _vectorised_otherwise]
    assert len({digest(value) for value in values}) == 4


def _with_lock() -> Any:
    lock = threading.Lock()
    return lambda x: (lock, x)


def _with_user_ufunc() -> Any:
    return np.frompyfunc(lambda x: x, 1, 1)


class Channel(BaseModel):
    name: str
    selection: dict[str, Any]


class Analysis(BaseModel):
    channels: list[Channel]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (threading.Lock, "'_thread.lock' has no content"),
        (lambda: (item for item in [1]), "reading a 'generator' would use it up"),
        (lambda: iter([1]), "reading a 'list_iterator' would use it up"),
        (_with_user_ufunc, "universal function"),
    ],
)
def test_the_error_says_why_a_value_cannot_be_digested(make: Any, reason: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(reason)):
        digest(make())


def test_open_files_and_sockets_cannot_be_digested(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as stream, pytest.raises(ConfigError, match="TextIOWrapper"):
        digest({"file": stream})
    with (
        socket.socket() as connection,
        pytest.raises(ConfigError, match=re.escape("[server]: a 'socket.socket'")),
    ):
        digest({"server": connection})


def test_the_error_names_the_place_and_the_remedy() -> None:
    analysis = Analysis(channels=[Channel(name="SR", selection={"function": _with_lock()})])

    with pytest.raises(ConfigError) as caught:
        digest(analysis)
    message = str(caught.value)
    assert message.startswith("cannot digest channels[SR].selection[function] > closure variable 'lock': ")
    assert "static_kwargs" in message
    assert "module-level function" in message


def test_the_error_begins_with_the_place_given_by_the_caller() -> None:
    with pytest.raises(
        ConfigError, match=re.escape("cannot digest corrections[2].args[0]: a '_thread.lock'")
    ):
        digest([threading.Lock()], where="corrections[2].args")
    with pytest.raises(ConfigError, match=re.escape("cannot digest the value: a '_thread.lock'")):
        digest(threading.Lock())


def test_the_error_never_shows_the_value() -> None:
    class Login:
        def __init__(self) -> None:
            self.lock = threading.Lock()

        def __repr__(self) -> str:
            return "hunter2"

    with pytest.raises(ConfigError) as caught:
        digest({"login": Login()})
    assert "[login].lock" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_nesting_beyond_the_recursion_limit_is_a_configuration_error() -> None:
    value: list[Any] = []
    for _ in range(10_000):
        value = [value]

    with pytest.raises(ConfigError, match="levels deep"):
        digest({"deep": value})


def test_a_function_digest_is_the_digest_of_the_function() -> None:
    assert function_digest(_with_lock) == digest(_with_lock)
    with pytest.raises(ConfigError, match="a 'int', which cannot be called"):
        function_digest(3)
    with pytest.raises(
        ConfigError, match=re.escape("_with_lock.<locals>.<lambda> > closure variable 'lock'")
    ):
        function_digest(_with_lock())


_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.sampled_from([0.0, -0.0, 1.0, 2.0, float("nan")]),
    st.text("01", max_size=2),
)
_keys = st.one_of(st.booleans(), st.integers(-1, 1), st.text("01", max_size=1))
_nested = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(_keys, inner, max_size=3),
    ),
    max_leaves=6,
)


def _canonical(value: Any) -> Any:
    """Return a hashable picture of a JSON-like value in which only equal types and contents are equal."""
    if isinstance(value, list | tuple):
        return type(value), tuple(_canonical(item) for item in value)
    if isinstance(value, dict):
        return dict, frozenset((_canonical(key), _canonical(item)) for key, item in value.items())
    return type(value), repr(value)


@given(one=_nested, other=_nested)
@example(one={1: 0}, other={True: 0})
@example(one=[1, [2]], other=[1, (2,)])
@example(one={"a": 1, "b": 2}, other={"b": 2, "a": 1})
@example(one=[0.0], other=[-0.0])
def test_two_digests_are_equal_exactly_if_the_values_are(one: Any, other: Any) -> None:
    assert (digest(one) == digest(other)) == (_canonical(one) == _canonical(other))


@given(_nested)
def test_a_copy_has_the_same_digest(value: Any) -> None:
    def copied(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: copied(inner) for key, inner in reversed(item.items())}
        return type(item)(copied(inner) for inner in item) if isinstance(item, list | tuple) else item

    assert digest(copied(value)) == digest(value)
