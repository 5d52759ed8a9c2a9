"""An interpreter of pickle's opcodes for plain data, and of nothing else."""

import contextlib
import datetime
import io
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck.adopt import plain_pickle
from coatcheck.adopt.plain_pickle import read_pickle
from coatcheck.adopt.refused import Refused

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False)
    | st.text(max_size=300),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=5) | st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=12,
)


def reason(data: bytes) -> str:
    """Return why a pickle is refused."""
    with pytest.raises(Refused) as refused:
        read_pickle(data)
    return refused.value.reason


@given(PLAIN, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_data_is_read_as_pickle_reads_it(value: Any, protocol: int) -> None:
    """Of every protocol, parts that repeat included."""
    assert read_pickle(pickle.dumps([value, value], protocol)) == [value, value]


@pytest.mark.parametrize("size", [1, 300, 70_000])
def test_bytes_and_texts_of_every_length_are_read(size: int) -> None:
    """The opcodes differ by length."""
    for value in (b"x" * size, "ü" * size, ["x"] * size):
        assert read_pickle(pickle.dumps(value, 5)) == value


class Calls:
    """Runs something when it is loaded."""

    def __reduce__(self) -> Any:
        return print, ("pwned",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "value",
    [Calls(), {"a": [Calls()]}, datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), print, {1}],
    ids=["calls", "calls inside", "datetime", "names", "set"],
)
def test_what_names_calls_or_builds_is_refused(value: Any, protocol: int) -> None:
    """Nothing is imported: the opcode itself is refused."""
    assert reason(pickle.dumps(value, protocol)) == "unsupported"


def test_no_pickle_is_ever_loaded() -> None:
    """The module does not know `pickle`."""
    assert "pickle" not in vars(plain_pickle)


@pytest.mark.parametrize(
    "data",
    [b"c__builtin__\nprint\n.", b"(i__builtin__\nprint\n.", b"\x93.", b"R.", b"\x81.", b"b.",
     b"P1\n.", b"Q.", b"\x82\x01.", b"\x97.", b"o.", b"\x92.", b"2.", b"\x8f.", b"\x96."],
)  # fmt: skip
def test_every_dangerous_opcode_is_refused_by_itself(data: bytes) -> None:
    """Also where no stack is there for it."""
    assert reason(data) == "unsupported"


@pytest.mark.parametrize(
    "data",
    [b"", b"N", b"NN.", b".", b"(.", b"0.", b"a.", b"Na.", b"N(a.", b"h\x00.", b"t.", b"Nt.",
     b"]s.", b"K.", b"J\x00.", b"X\xff\xff\xff\xff.", b"X\x02\x00\x00\x00\xff\xff.", b"Ix\n.",
     b"I1.",
     b"\x8a\x05x.", b"(q\x00.", b"\x85.", b"(\x85.", b"N.N", b"]NNs.", b"e.", b"(e.", b"(u.",
     b"Fx\n.", b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff.", b"\x95\x01.", b"p0\n."],
)  # fmt: skip
def test_a_damaged_pickle_is_refused(data: bytes) -> None:
    """Without an exception of another kind."""
    assert reason(data) == "damaged"


@pytest.mark.parametrize(
    "data",
    [b"\x80\x06N.", b"\x8a\xffx.", b"I" + b"9" * 40 + b"\n.", b"}(Nu.", b"}(]Nu.", b"(]Nd."],
)
def test_what_no_session_holds_is_refused(data: bytes) -> None:
    """Other protocols, numbers without end, keys that cannot be hashed, half a pair."""
    assert reason(data) == "unsupported"


def test_the_other_opcodes_of_old_protocols_are_read() -> None:
    """Text, numbers and places of protocol 0; POP and POP_MARK."""
    assert read_pickle(b"(I01\nI00\nL5L\nF0.5\nVa\nt.") == (True, False, 5, 0.5, "a")
    assert read_pickle(b"N(NN1.") is None
    assert read_pickle(b"NK\x010.") is None
    assert read_pickle(b"]p0\ng0\na.") != []
    assert read_pickle(b"]r\x00\x00\x00\x00j\x00\x00\x00\x000.") == []
    assert read_pickle(b"\x8b\x01\x00\x00\x00\x05.") == 5


def test_a_pickle_larger_than_a_record_is_refused() -> None:
    """No session of ours has more bytes."""
    assert reason(pickle.dumps(b"x" * 1_000_001)) == "too_large"


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Nothing else is raised."""
    with contextlib.suppress(Refused):
        read_pickle(data)


@given(PLAIN, st.integers(0, 200), st.integers(0, 255))
def test_one_changed_byte_is_read_or_refused(value: Any, at: int, byte: int) -> None:
    """Most damage changes one byte of a real pickle."""
    buffer = io.BytesIO(pickle.dumps({"a": value}))
    buffer.seek(at)
    buffer.write(bytes([byte]))
    with contextlib.suppress(Refused):
        read_pickle(buffer.getvalue())
