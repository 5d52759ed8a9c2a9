"""
The limits of a form, and the counts that are compared with them.

Too many parts are answered with 400, too many bytes with 413 (RFC 9110, 15.5.14). Each part and
chunk is counted before it is kept, so that a form never takes more memory and disk than its limits.
"""

from dataclasses import dataclass, fields

from starlette.formparsers import MultiPartException

from coatcheck.errors import ConfigurationError

MAX_HEADERS = 8
"""Headers that a part may have: RFC 7578, 4.8 knows three of them."""

KIBIBYTE = 1024
MEBIBYTE = 1024 * KIBIBYTE


class OverLimit(MultiPartException):
    """A form is over one of its limits."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    The limits of a form. Numbers over a limit are answered with 400, sizes with 413.

    KIBIBYTE is 1024 bytes, and MEBIBYTE 1024 KIBIBYTE.

    Args:
        max_fields: Number of fields, which are parts with text.
        max_files: Number of uploads.
        max_parts: Number of fields and uploads together.
        max_part_size: Bytes of one field with its name.
        max_text_size: Bytes of all fields together. They are kept in memory.
        max_file_size: Bytes of one upload. One of more than 64 KiB is kept on disk.
        max_total_size: Bytes of the whole body. One of more than 64 KiB is kept on disk.
        max_header_size: Bytes of the headers of one part, of which there may be 8.

    Raises:
        ConfigurationError: A limit is not an integer from 0 up.
    """

    max_fields: int = 1000
    max_files: int = 20
    max_parts: int = 1000
    max_part_size: int = 1 * MEBIBYTE
    max_text_size: int = 2 * MEBIBYTE
    max_file_size: int = 10 * MEBIBYTE
    max_total_size: int = 40 * MEBIBYTE
    max_header_size: int = 4 * KIBIBYTE

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if type(value) is not int or value < 0:
                raise ConfigurationError(
                    f"{limit.name} must be an integer from 0 up, got {value!r}"
                )


class Count:
    """The counts of one form. Each method raises `OverLimit` if a limit is exceeded."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._parts = self._fields = self._files = 0
        self._text = self._part = self._header = self._headers = self._body = 0

    def part(self) -> None:
        """Count a part, and begin to count its bytes."""
        self._parts = _within(self._parts + 1, self.limits.max_parts, "parts")
        self._part = self._header = self._headers = 0

    def field(self) -> None:
        """Count the part as a field."""
        self._fields = _within(self._fields + 1, self.limits.max_fields, "fields")

    def file(self) -> None:
        """Count the part as an upload."""
        self._files = _within(self._files + 1, self.limits.max_files, "files")

    def header(self, size: int) -> None:
        """Count bytes of a part's headers."""
        self._header = _fits(self._header + size, self.limits.max_header_size, "headers of a part")

    def whole_header(self) -> None:
        """Count one of a part's headers."""
        self._headers = _within(self._headers + 1, MAX_HEADERS, "headers in a part")

    def urlencoded(self, size: int) -> None:
        """Count bytes of an urlencoded body: the fields, and a "=" and a "&" for each."""
        self._body += size
        marks = 2 * self.limits.max_fields
        if self._body > self.limits.max_text_size + marks:
            _fits(self._body, self.limits.max_text_size, "all fields together")

    def text(self, size: int) -> None:
        """Count bytes of a field."""
        self._part = _fits(self._part + size, self.limits.max_part_size, "a field")
        self._text = _fits(self._text + size, self.limits.max_text_size, "all fields together")

    def data(self, size: int) -> None:
        """Count bytes of an upload."""
        self._part = _fits(self._part + size, self.limits.max_file_size, "a file")


def check_total(size: int, limits: Limits) -> None:
    """Raise `OverLimit` if a body of *size* bytes is too large."""
    _fits(size, limits.max_total_size, "the body")


def _within(number: int, limit: int, what: str) -> int:
    if number > limit:
        raise OverLimit(f"the form has more than {limit} {what}", 400)
    return number


def _fits(size: int, limit: int, what: str) -> int:
    if size > limit:
        raise OverLimit(f"the form is too large: {what} may have {limit} bytes", 413)
    return size
