"""
What a form may hold, and the count of what it does hold.

Too many of something answers 400, too many bytes of something 413 (RFC 9110, 15.5.14). Every count
is taken before what is counted is kept, so that a form costs no more memory and disk than it may.
"""

from dataclasses import dataclass, fields

from starlette.formparsers import MultiPartException

from coatcheck.errors import ConfigurationError

KIBIBYTE = 1024
MEBIBYTE = 1024 * KIBIBYTE


class OverLimit(MultiPartException):
    """A form holds more than it may."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    What a form may hold. Sizes are in bytes.

    Args:
        max_fields: Values that are text.
        max_files: Uploads.
        max_parts: Both together.
        max_part_size: One field, and its name.
        max_text_size: All fields together: they are held in memory.
        max_file_size: One upload; beyond 64 KiB it is held on disk.
        max_total_size: The whole body; beyond 64 KiB it is held on disk.
        max_header_size: The headers of one part. `python-multipart` itself refuses a line of more
            than about 4 KiB.

    Raises:
        ConfigurationError: A limit is no number, or below 0.
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
                raise ConfigurationError(f"{limit.name}={value!r} is no number from 0 up")


class Count:
    """What one form holds so far. Each method raises `OverLimit` at one too many."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._parts = self._fields = self._files = 0
        self._text = self._part = self._header = 0

    def part(self) -> None:
        """Count a part, whose bytes come next."""
        self._parts = _within(self._parts + 1, self.limits.max_parts, "parts")
        self._part = self._header = 0

    def field(self) -> None:
        """Count a part as a field."""
        self._fields = _within(self._fields + 1, self.limits.max_fields, "fields")

    def file(self) -> None:
        """Count a part as an upload."""
        self._files = _within(self._files + 1, self.limits.max_files, "files")

    def header(self, size: int) -> None:
        """Count bytes of a part's headers."""
        self._header = _fits(self._header + size, self.limits.max_header_size, "headers of a part")

    def text(self, size: int) -> None:
        """Count bytes of a field."""
        self._part = _fits(self._part + size, self.limits.max_part_size, "a field")
        self._text = _fits(self._text + size, self.limits.max_text_size, "all fields together")

    def data(self, size: int) -> None:
        """Count bytes of an upload."""
        self._part = _fits(self._part + size, self.limits.max_file_size, "a file")


def check_total(size: int, limits: Limits) -> None:
    """Refuse a body of *size* bytes that is too large as a whole."""
    _fits(size, limits.max_total_size, "the body")


def _within(number: int, limit: int, what: str) -> int:
    if number > limit:
        raise OverLimit(f"the form has more than {limit} {what}", 400)
    return number


def _fits(size: int, limit: int, what: str) -> int:
    if size > limit:
        raise OverLimit(f"the form is too large: {what} may have {limit} bytes", 413)
    return size
