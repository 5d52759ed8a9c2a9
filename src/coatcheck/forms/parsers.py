"""
Parsers for the two encodings of a form, with every part and byte counted while the body streams.

    a=1&b=2                                     application/x-www-form-urlencoded
    --cut CRLF headers CRLF CRLF value CRLF …   multipart/form-data; boundary=cut

The grammar of a multipart body is `python-multipart`'s. Its own limits are off: what is over a
limit is over one of ours, and refused as such. Text in a multipart body is read as UTF-8, whatever
charset it claims (RFC 7578, 5.1.2): some of the codecs that Python knows raise or take a long time
on bytes made for it.

Source: RFC 7578 (multipart/form-data); RFC 2046, 5.1.1 (boundaries); WHATWG URL, 5 (urlencoded).
"""

import re
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from inspect import signature
from tempfile import SpooledTemporaryFile
from typing import Any, Protocol
from urllib.parse import unquote_plus

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException

from coatcheck.forms.body import IN_MEMORY
from coatcheck.forms.limits import Count, Limits

Stream = AsyncGenerator[bytes, None]

_BOUNDARY = re.compile(
    r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]"
)  # RFC 2046, 5.1.1

_WITHOUT_LIMITS: dict[str, Any] = {
    name: sys.maxsize
    for name in ("max_header_count", "max_header_size")
    if name in signature(MultipartParser).parameters  # older versions have no such limits
}


class Parser(Protocol):
    """Parses one form. Raises `MultiPartException` if it is malformed or over a limit."""

    async def parse(self) -> FormData: ...


class UrlencodedParser:
    """`application/x-www-form-urlencoded`: "name=value&other=value"."""

    def __init__(self, _: Headers, stream: Stream, limits: Limits) -> None:
        self._stream = stream
        self._count = Count(limits)
        self._items: list[tuple[str, str | UploadFile]] = []
        self._begun = bytearray()

    async def parse(self) -> FormData:
        async for chunk in self._stream:
            self._count.urlencoded(len(chunk))
            self._take(chunk)
        self._end_field()
        return FormData(self._items)

    def _take(self, chunk: bytes) -> None:
        first, *others = chunk.split(b"&")
        self._go_on(first)
        for piece in others:
            self._end_field()
            self._go_on(piece)

    def _go_on(self, piece: bytes) -> None:
        if not piece:
            return
        if not self._begun:
            self._count.field()
            self._count.part()
        ends_name = b"=" in piece and b"=" not in self._begun
        self._count.text(len(piece) - ends_name)
        self._begun += piece

    def _end_field(self) -> None:
        if self._begun:
            name, _, value = self._begun.decode("latin-1").partition("=")
            self._items.append((unquote_plus(name), unquote_plus(value)))
            self._begun.clear()


class LimitedMultiPartParser:
    """`multipart/form-data`: fields and uploads."""

    def __init__(self, headers: Headers, stream: Stream, limits: Limits) -> None:
        self._stream = stream
        self._boundary = _boundary_of(headers)
        self._count = Count(limits)
        self._items: list[tuple[str, str | UploadFile]] = []
        self._files: list[UploadFile] = []
        self._field, self._value = bytearray(), bytearray()  # of the header that is being read
        self._headers: list[tuple[bytes, bytes]] = []
        self._name = ""
        self._text = bytearray()  # of the part that is being read, if it is a field
        self._upload: UploadFile | None = None
        self._waiting: list[tuple[UploadFile, bytes]] = []  # to be written
        self._waiting_size = 0
        self._ended = False

    async def parse(self) -> FormData:
        callbacks: Any = {
            "on_part_begin": self._on_part_begin,
            "on_part_data": self._on_part_data,
            "on_part_end": self._on_part_end,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_end": self._on_end,
        }
        parser = MultipartParser(self._boundary, callbacks, **_WITHOUT_LIMITS)
        try:
            await self._feed(parser)
        except BaseException as error:
            for upload in self._files:
                upload.file.close()
            if isinstance(error, FormParserError):
                raise MultiPartException("the form is malformed") from error
            raise
        return FormData(self._items)

    async def _feed(self, parser: MultipartParser) -> None:
        async with aclosing(without_preamble(self._stream, self._boundary)) as stream:
            async for chunk in stream:
                parser.write(chunk)
                if self._waiting_size > IN_MEMORY:
                    await self._write()
        if not self._ended:
            raise MultiPartException("the form ends before its last boundary")
        await self._write()
        for upload in self._files:
            await upload.seek(0)

    async def _write(self) -> None:
        """Write what arrived of uploads, many pieces at once: a write may need a thread."""
        pieces: dict[UploadFile, bytearray] = {}
        for upload, piece in self._waiting:
            pieces.setdefault(upload, bytearray()).extend(piece)
        self._waiting.clear()
        self._waiting_size = 0
        for upload, data in pieces.items():
            await upload.write(bytes(data))

    def _on_part_begin(self) -> None:
        self._count.part()
        self._headers, self._text, self._upload = [], bytearray(), None

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._count.header(end - start)
        self._field += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._count.header(end - start)
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._count.whole_header()
        self._headers.append((bytes(self._field.lower()), bytes(self._value)))
        self._field.clear()
        self._value.clear()

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(dict(self._headers).get(b"content-disposition"))
        if b"name" not in options:
            raise MultiPartException('the header Content-Disposition of a part must have a "name"')
        self._name = _text_of(options[b"name"])
        if b"filename" in options:
            self._count.file()
            self._begin_upload(_text_of(options[b"filename"]))
        else:
            self._count.field()
            self._count.text(len(self._name))

    def _begin_upload(self, filename: str) -> None:
        spool = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - the request closes it
        headers = Headers(raw=self._headers)
        upload = UploadFile(spool, size=0, filename=filename, headers=headers)  # type: ignore[arg-type]
        self._upload = upload
        self._files.append(upload)

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._upload is None:
            self._count.text(end - start)
            self._text += data[start:end]
        else:
            self._count.data(end - start)
            self._waiting.append((self._upload, data[start:end]))
            self._waiting_size += end - start

    def _on_part_end(self) -> None:
        value = _text_of(self._text) if self._upload is None else self._upload
        self._items.append((self._name, value))

    def _on_end(self) -> None:
        self._ended = True


async def without_preamble(stream: Stream, boundary: bytes) -> Stream:
    """
    Yield a multipart body from its first boundary on. What stands before is no part of the form.

    Source: RFC 2046, 5.1.1: a boundary stands at the beginning of a line.
    """
    line = re.compile(rb"\r\n--" + re.escape(boundary) + rb"(?:\r\n|--)")
    longest = len(boundary) + 6
    seen, found = b"\r\n", False
    async for chunk in stream:
        if found:
            yield chunk
            continue
        seen += chunk
        first = line.search(seen)
        found = first is not None
        if first:
            yield seen[first.start() + 2 :]
        else:
            seen = seen[1 - longest :]


def _boundary_of(headers: Headers) -> bytes:
    """
    Return the boundary that a Content-Type names.

    Raises:
        MultiPartException: It is missing, or is none.
    """
    _, options = parse_options_header(headers["content-type"])
    boundary = options.get(b"boundary", b"")
    if not _BOUNDARY.fullmatch(boundary.decode("latin-1")):
        raise MultiPartException("the form has no valid boundary")
    return boundary


def _text_of(data: bytes | bytearray) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


MakeParser = Callable[[Headers, Stream, Limits], Parser]

PARSERS: dict[str, MakeParser] = {
    "application/x-www-form-urlencoded": UrlencodedParser,
    "multipart/form-data": LimitedMultiPartParser,
}
"""By media type."""
