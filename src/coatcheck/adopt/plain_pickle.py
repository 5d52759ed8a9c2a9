"""
Read a pickle of plain data, without `pickle`.

    dict, list, tuple, str, bytes, int, float, bool, None

An interpreter of those opcodes that push such a value, collect values, or remember them. Any other
opcode is refused: those that name something in a module, call it, build an object, or ask for
something outside of the pickle. So no pickle can run anything here.

The result may share parts, and even hold itself: `session_values` counts what it visits.

Source: https://github.com/python/cpython/blob/main/Lib/pickletools.py, protocols 0 to 5.
"""

import struct
from collections.abc import Callable
from typing import Any

from coatcheck.adopt.refused import Refused

LONGEST = 1_000_000
"""Bytes of a pickle, as of a record of ours."""

_LONGEST_NUMBER = 32
"""Characters of a number: no session holds a larger one."""


class _Mark:
    """The start of a collection on the stack."""


_MARK = _Mark()


def read_pickle(data: bytes) -> Any:
    """
    Return the value that a pickle of plain data stands for.

    Raises:
        Refused: It is no pickle, it is cut, or it is not of plain data alone.
    """
    if len(data) > LONGEST:
        raise Refused("too_large")
    try:
        return _Machine(data).run()
    except (IndexError, KeyError, ValueError, TypeError, struct.error):
        raise Refused("damaged") from None


class _Machine:
    """The stack and the memory of one pickle."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        while True:
            opcode = self._take(1)
            if opcode == b".":
                break
            step = _STEPS.get(opcode)
            if step is None:
                raise Refused("unsupported")
            step(self)
        (value,) = self._stack  # a ValueError, if more or nothing is left
        if self._at != len(self._data) or value is _MARK:
            raise Refused("damaged")
        return value

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if count < 0 or end > len(self._data):
            raise Refused("damaged")
        taken, self._at = self._data[self._at : end], end
        return taken

    def _line(self) -> bytes:
        end = self._data.index(b"\n", self._at)
        line, self._at = self._data[self._at : end], end + 1
        return line

    def number(self, form: str) -> int:
        """Return an integer of the pickle's own: a length, or a place in its memory."""
        (number,) = struct.unpack(form, self._take(struct.calcsize(form)))
        return int(number)

    def push(self, value: object) -> None:
        self._stack.append(value)

    def pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise Refused("damaged")
        return value

    def collect(self) -> list[Any]:
        """Return what is above the last mark, and take it and the mark away."""
        at = len(self._stack) - 1
        while self._stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise Refused("damaged")
        found = self._stack[at + 1 :]
        del self._stack[at:]
        return found

    def top(self, kind: type) -> Any:
        """Return the collection on top, to which something is added."""
        if type(self._stack[-1]) is not kind:
            raise Refused("damaged")
        return self._stack[-1]

    # ---- the opcodes

    def protocol(self) -> None:
        if self.number("B") > 5:
            raise Refused("unsupported")

    def frame(self) -> None:
        self.number("<Q")

    def mark(self) -> None:
        self.push(_MARK)

    def integer(self, form: str) -> None:
        self.push(self.number(form))

    def decimal(self) -> None:
        line = self._line().removesuffix(b"L")
        if line in (b"00", b"01"):
            self.push(line == b"01")
        else:
            self.push(int(_short(line)))

    def long(self, form: str) -> None:
        size = self.number(form)
        if size > _LONGEST_NUMBER:
            raise Refused("unsupported")
        self.push(int.from_bytes(self._take(size), "little", signed=True))

    def float_of_text(self) -> None:
        self.push(float(_short(self._line())))

    def float_of_bytes(self) -> None:
        self.push(struct.unpack(">d", self._take(8))[0])

    def text_line(self) -> None:
        self.push(self._line().decode("raw-unicode-escape"))

    def text(self, form: str) -> None:
        self.push(self._take(self.number(form)).decode())

    def bytes_(self, form: str) -> None:
        self.push(self._take(self.number(form)))

    def tuple_of(self, count: int) -> None:
        parts = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(parts)))

    def tuple_(self) -> None:
        self.push(tuple(self.collect()))

    def list_(self) -> None:
        self.push(self.collect())

    def dict_(self) -> None:
        self.push(_paired({}, self.collect()))

    def append(self) -> None:
        value = self.pop()
        self.top(list).append(value)

    def appends(self) -> None:
        values = self.collect()
        self.top(list).extend(values)

    def set_item(self) -> None:
        value, key = self.pop(), self.pop()
        _paired(self.top(dict), [key, value])

    def set_items(self) -> None:
        pairs = self.collect()
        _paired(self.top(dict), pairs)

    def put(self, place: int) -> None:
        if self._stack[-1] is _MARK:
            raise Refused("damaged")
        self._memo[place] = self._stack[-1]

    def get(self, place: int) -> None:
        self.push(self._memo[place])


def _short(line: bytes) -> bytes:
    if len(line) > _LONGEST_NUMBER:
        raise Refused("unsupported")
    return line


def _paired(into: dict[Any, Any], items: list[Any]) -> dict[Any, Any]:
    """Put keys and values, one after another, into a dict."""
    if len(items) % 2 or not all(type(key) in _KEYS for key in items[::2]):
        raise Refused("unsupported")
    into.update(zip(items[::2], items[1::2], strict=True))
    return into


_KEYS = frozenset({str, int, bool, float, bytes, type(None)})
"""The types of keys here, because they can be hashed; `session_values` takes texts alone."""

_STEPS: dict[bytes, Callable[[_Machine], None]] = {
    b"\x80": _Machine.protocol,
    b"\x95": _Machine.frame,
    b"(": _Machine.mark,
    b"0": lambda machine: machine._stack.__delitem__(-1),
    b"1": lambda machine: machine.collect().clear(),
    b"N": lambda machine: machine.push(None),
    b"\x88": lambda machine: machine.push(True),  # noqa: FBT003
    b"\x89": lambda machine: machine.push(False),  # noqa: FBT003
    b"I": _Machine.decimal,
    b"L": _Machine.decimal,
    b"J": lambda machine: machine.integer("<i"),
    b"K": lambda machine: machine.integer("<B"),
    b"M": lambda machine: machine.integer("<H"),
    b"\x8a": lambda machine: machine.long("<B"),
    b"\x8b": lambda machine: machine.long("<i"),
    b"F": _Machine.float_of_text,
    b"G": _Machine.float_of_bytes,
    b"V": _Machine.text_line,
    b"X": lambda machine: machine.text("<I"),
    b"\x8c": lambda machine: machine.text("<B"),
    b"\x8d": lambda machine: machine.text("<Q"),
    b"B": lambda machine: machine.bytes_("<I"),
    b"C": lambda machine: machine.bytes_("<B"),
    b"\x8e": lambda machine: machine.bytes_("<Q"),
    b")": lambda machine: machine.tuple_of(0),
    b"\x85": lambda machine: machine.tuple_of(1),
    b"\x86": lambda machine: machine.tuple_of(2),
    b"\x87": lambda machine: machine.tuple_of(3),
    b"t": _Machine.tuple_,
    b"]": lambda machine: machine.push([]),
    b"l": _Machine.list_,
    b"}": lambda machine: machine.push({}),
    b"d": _Machine.dict_,
    b"a": _Machine.append,
    b"e": _Machine.appends,
    b"s": _Machine.set_item,
    b"u": _Machine.set_items,
    b"p": lambda machine: machine.put(int(_short(machine._line()))),
    b"q": lambda machine: machine.put(machine.number("<B")),
    b"r": lambda machine: machine.put(machine.number("<I")),
    b"\x94": lambda machine: machine.put(len(machine._memo)),
    b"g": lambda machine: machine.get(int(_short(machine._line()))),
    b"h": lambda machine: machine.get(machine.number("<B")),
    b"j": lambda machine: machine.get(machine.number("<I")),
}
