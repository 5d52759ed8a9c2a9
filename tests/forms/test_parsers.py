"""What a form holds, and which bodies are no form."""

import asyncio
import json
from collections.abc import AsyncGenerator
from inspect import signature

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.formparsers import FormParser

from tests.asgi_requests import ask
from tests.forms.posts import (
    MALFORMED,
    MULTIPART,
    URLENCODED,
    field,
    in_pieces,
    multipart,
    post,
    site,
    upload,
)


def test_an_urlencoded_form_is_read() -> None:
    """Names, values, several of a name, in their order and in UTF-8."""
    answer = ask(site(), "POST", "/", content="a=1&b=%C3%A9+x&a=2", headers=URLENCODED)
    assert answer.json() == [["a", "1"], ["b", "é x"], ["a", "2"]]


def test_a_multipart_form_is_read() -> None:
    """Fields are text, files are uploads with a name, a type and their bytes."""
    answer = ask(site(), "POST", "/", data={"a": "é"}, files={"b": ("n.txt", b"123", "text/plain")})
    assert answer.json() == [["a", "é"], ["b", ["n.txt", "text/plain", 3]]]


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_it_does_not_matter_where_a_body_is_cut(size: int) -> None:
    """A server may hand a body over in pieces of any size."""
    body = multipart(field("a", "1"), upload("b", b"\r\n--cu\r\n--cat"), field("c", ""))
    answer = post(in_pieces(body, size))
    assert answer.text == '[["a","1"],["b",["a.txt","text/plain",13]],["c",""]]'


def test_an_empty_multipart_form_is_empty() -> None:
    """It is a body of the last boundary alone."""
    assert post(multipart()).text == "[]"


@pytest.mark.parametrize("body", MALFORMED)
def test_a_malformed_form_is_400(body: bytes) -> None:
    """A form that ends in the middle is malformed too: half a form is none."""
    answer = post(body)
    assert answer.status == 400
    assert answer.text.endswith("\n")


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary="a\\"b"',
        "multipart/form-data; boundary=caf\xe9",
        f"multipart/form-data; boundary={'x' * 71}",
    ],
)
def test_a_boundary_that_is_none_is_400(content_type: str) -> None:
    """RFC 2046, 5.1.1 says what a boundary may be."""
    answer = post(multipart(field("a", "1")), {"content-type": content_type})
    assert (answer.status, answer.text) == (400, "the form has no valid boundary\n")


@pytest.mark.parametrize(
    "charset", ["undefined", "idna", "punycode", "base64", "no-such", "utf-16"]
)
def test_a_claimed_charset_is_ignored(charset: str) -> None:
    """Some codecs raise, and some take minutes: text is UTF-8."""
    headers = {"content-type": f"multipart/form-data; charset={charset}; boundary=cut"}
    assert post(multipart(field("a", "é" * 1000)), headers).text == f'[["a","{"é" * 1000}"]]'


def test_text_that_is_no_utf_8_is_read_even_so() -> None:
    """It is taken for Latin-1, as Starlette does."""
    assert post(multipart(field("a", b"\xff"))).text == '[["a","ÿ"]]'


PIECES = st.sampled_from(
    [
        b"--cut",
        b"--cut--",
        b"\r\n",
        b"\r",
        b"Content-Disposition: form-data",
        b'; name="a"',
        b"; filename*=utf-8''%ff",
        b'; filename="b',
        b"Content-Type: x",
        b":",
        b"\x00\xff",
        b"=&%zz",
    ]
)


@given(st.lists(PIECES, max_size=20).map(b"".join), st.integers(1, 50), st.booleans())
def test_no_body_raises(body: bytes, size: int, suppress_errors: bool) -> None:
    """Anything may come from a client."""
    for headers in (MULTIPART, URLENCODED):
        chunks = in_pieces(body, size) or [b""]
        assert post(chunks, headers, suppress_errors=suppress_errors).status in (200, 400)


@given(st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0")))
def test_no_content_type_raises(text: str) -> None:
    """Nor may any header."""
    for content_type in (
        text,
        f"multipart/form-data;{text}",
        f"multipart/form-data; boundary={text}",
    ):
        assert post(b"a=1", {"content-type": content_type}).status in (200, 400)


@pytest.mark.parametrize(
    "preamble",
    [
        b"\r\n",
        b"This is a message in several parts.\r\n",
        b"--cutting\r\n",
        b"a --cut\r\n",
        b"--cut \r\n",
        b"-\r\n" * 5000,
        b"x" * 100_000 + b"\r\n",
    ],
)
@pytest.mark.parametrize("size", [1, 5, 1000, 200_000])
def test_a_preamble_is_no_part_of_the_form(preamble: bytes, size: int) -> None:
    """RFC 2046, 5.1.1: what stands before the first boundary is ignored, wherever it is cut."""
    if size < 1000 < len(preamble):
        preamble = preamble[-2000:]
    body = preamble + multipart(field("a", "1")) + b"the epilogue --cut\r\n"
    assert post(in_pieces(body, size)).text == '[["a","1"]]'


def test_a_preamble_counts_as_bytes_of_the_body() -> None:
    """An endless one is refused while it streams, and never held in memory."""
    endless = [b"x" * 1000] * 1000
    answer = post(endless, max_total_size=5000)
    assert (answer.status, answer.taken) == (413, 6)


def test_an_urlencoded_form_is_read_as_starlette_reads_it() -> None:
    """Empty pieces are none; what stands without a "=" is a name; further "=" are of the value."""
    body = b"a&&b=&=c&d=e=f&=&g+h=%20%zz%&\xff=\xc3\xa9&"
    expected = [
        ["a", ""],
        ["b", ""],
        ["", "c"],
        ["d", "e=f"],
        ["", ""],
        ["g h", " %zz%"],
        ["ÿ", "Ã©"],
    ]
    for size in (1, 3, 100):
        assert json.loads(post(in_pieces(body, size), URLENCODED).text) == expected


@pytest.mark.skipif(
    "max_part_size" not in signature(FormParser.__init__).parameters,
    reason="before Starlette 1.0, a form of one name alone was empty",
)
@given(st.text("a&=+%41;é ", max_size=40).map(str.encode), st.integers(1, 40))
def test_every_urlencoded_form_is_read_as_starlette_reads_it(body: bytes, size: int) -> None:
    """Wherever it is cut."""

    async def parsed() -> list[list[str]]:
        async def stream() -> AsyncGenerator[bytes, None]:
            yield body
            yield b""

        form = await FormParser(Headers(), stream()).parse()
        return [[name, str(value)] for name, value in form.multi_items()]

    chunks = in_pieces(body, size) or [b""]
    assert json.loads(post(chunks, URLENCODED).text) == asyncio.run(parsed())
