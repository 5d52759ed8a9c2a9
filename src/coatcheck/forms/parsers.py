"""
Starlette's parsers for the two encodings of a form, with every part and chunk counted.

A multipart body is read as UTF-8, whatever charset it claims (RFC 7578, 5.1.2): some of the codecs
that Python knows raise or take a long time on bytes made for it.
"""

import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from math import inf
from typing import Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser

from coatcheck.forms.body import IN_MEMORY
from coatcheck.forms.limits import Count, Limits

Stream = AsyncGenerator[bytes, None]

_BOUNDARY = re.compile(
    r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]"
)  # RFC 2046, 5.1.1


class Parser(Protocol):
    """Parses one form. Raises `MultiPartException` if it is malformed or over a limit."""

    async def parse(self) -> FormData: ...


class UrlencodedParser(FormParser):
    """`application/x-www-form-urlencoded`: "name=value&other=value"."""

    def __init__(self, headers: Headers, stream: Stream, limits: Limits) -> None:
        super().__init__(headers, stream)
        self.max_fields, self.max_part_size = limits.max_fields, limits.max_part_size
        self._count = Count(limits)

    def on_field_start(self) -> None:
        self._count.field()
        self._count.part()
        super().on_field_start()

    def on_field_name(self, data: bytes, start: int, end: int) -> None:
        self._count.text(end - start)
        super().on_field_name(data, start, end)

    def on_field_data(self, data: bytes, start: int, end: int) -> None:
        self._count.text(end - start)
        super().on_field_data(data, start, end)


class LimitedMultiPartParser(MultiPartParser):
    """`multipart/form-data`: fields and uploads (RFC 7578)."""

    spool_max_size = IN_MEMORY

    def __init__(self, headers: Headers, stream: Stream, limits: Limits) -> None:
        super().__init__(_plain(headers), stream, max_files=inf, max_fields=inf)
        self.max_part_size = limits.max_part_size
        self._count = Count(limits)
        self._ended = False

    async def parse(self) -> FormData:
        async with aclosing(self._whole(self.stream)) as self.stream:
            try:
                return await super().parse()
            except FormParserError as error:  # some versions let it through
                raise MultiPartException("the form is malformed") from error

    async def _whole(self, stream: Stream) -> Stream:
        """Refuse a form that ends in the middle, while the parser still closes its files."""
        async for chunk in stream:
            yield chunk
        if not self._ended:
            raise MultiPartException("the form ends before its last boundary")

    def on_part_begin(self) -> None:
        self._count.part()
        super().on_part_begin()

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._count.header(end - start)
        super().on_header_field(data, start, end)

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._count.header(end - start)
        super().on_header_value(data, start, end)

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        if self._current_part.file:
            self._count.file()
        else:
            self._count.field()
            self._count.text(len(self._current_part.field_name))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        count = self._count.data if self._current_part.file else self._count.text
        count(end - start)
        super().on_part_data(data, start, end)

    def on_end(self) -> None:
        self._ended = True


def _plain(headers: Headers) -> Headers:
    """
    Return a Content-Type with the boundary alone.

    Raises:
        MultiPartException: The boundary is missing, or is none.
    """
    _, options = parse_options_header(headers["content-type"])
    boundary = options.get(b"boundary", b"").decode("latin-1")
    if not _BOUNDARY.fullmatch(boundary):
        raise MultiPartException("the form has no valid boundary")
    return Headers({"content-type": f'multipart/form-data; boundary="{boundary}"'})


MakeParser = Callable[[Headers, Stream, Limits], Parser]

PARSERS: dict[str, MakeParser] = {
    "application/x-www-form-urlencoded": UrlencodedParser,
    "multipart/form-data": LimitedMultiPartParser,
}
"""By media type."""
