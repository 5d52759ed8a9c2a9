"""What a form may hold, and that more is refused while it streams."""

from dataclasses import fields
from typing import Any, get_type_hints

import pytest

from coatcheck import ConfigurationError
from coatcheck.forms import Limits, form_data
from coatcheck.forms.middleware import FormLimits
from tests.forms.posts import (
    MULTIPART,
    ONE_FIELD,
    ONE_FILE,
    URLENCODED,
    field,
    in_pieces,
    multipart,
    post,
    upload,
)

LONG_HEADER = upload("a", b"", headers="X: " + "x" * 50 + "\r\n")  # 129 bytes of headers

TOO_MANY: list[tuple[str, dict[str, int], dict[str, str], bytes]] = [
    ("2 fields", {"max_fields": 2}, URLENCODED, b"a&b&c"),
    ("2 fields", {"max_fields": 2}, MULTIPART, multipart(ONE_FIELD, ONE_FIELD, ONE_FIELD)),
    ("2 files", {"max_files": 2}, MULTIPART, multipart(ONE_FILE, ONE_FILE, ONE_FILE)),
    ("2 parts", {"max_parts": 2}, MULTIPART, multipart(ONE_FIELD, ONE_FILE, ONE_FIELD)),
    ("2 parts", {"max_parts": 2}, URLENCODED, b"a&b&c"),
]

TOO_LARGE: list[tuple[str, dict[str, int], dict[str, str], bytes]] = [
    ("a field may have 103", {"max_part_size": 103}, MULTIPART, multipart(ONE_FIELD)),
    ("a field may have 103", {"max_part_size": 103}, URLENCODED, b"name=" + b"x" * 100),
    ("a field may have 103", {"max_part_size": 103}, URLENCODED, b"x" * 104),
    ("together may have 207", {"max_text_size": 207}, MULTIPART, multipart(ONE_FIELD, ONE_FIELD)),
    ("together may have 5", {"max_text_size": 5}, URLENCODED, b"a=12&b=34"),
    ("a file may have 99", {"max_file_size": 99}, MULTIPART, multipart(ONE_FILE)),
    ("the body may have 4", {"max_total_size": 4}, URLENCODED, b"a=123"),
    ("the body may have 8", {"max_total_size": 8}, MULTIPART, multipart()),
    ("part may have 128", {"max_header_size": 128}, MULTIPART, multipart(LONG_HEADER)),
]


@pytest.mark.parametrize(("what", "limits", "headers", "body"), TOO_MANY)
@pytest.mark.parametrize("suppress_errors", [False, True])
def test_too_many_of_something_is_400(
    what: str, limits: dict[str, int], headers: dict[str, str], body: bytes, suppress_errors: bool
) -> None:
    """The answer says of what there were too many; suppressing errors does not lift a limit."""
    answer = post(body, headers, suppress_errors=suppress_errors, **limits)
    assert (answer.status, answer.text) == (400, f"the form has more than {what}\n")


@pytest.mark.parametrize(("what", "limits", "headers", "body"), TOO_LARGE)
@pytest.mark.parametrize("suppress_errors", [False, True])
def test_too_many_bytes_of_something_are_413(
    what: str, limits: dict[str, int], headers: dict[str, str], body: bytes, suppress_errors: bool
) -> None:
    """The answer says what is too large, and how large it may be."""
    answer = post(in_pieces(body, 64), headers, suppress_errors=suppress_errors, **limits)
    assert answer.status == 413
    assert answer.text.startswith("the form is too large: ")
    assert answer.text.endswith(f"{what} bytes\n")


@pytest.mark.parametrize(("what", "limits", "headers", "body"), TOO_MANY + TOO_LARGE)
def test_a_form_just_within_a_limit_is_read(
    what: str, limits: dict[str, int], headers: dict[str, str], body: bytes
) -> None:
    """Each limit is what a form may have, and not one too many."""
    enough = {name: limit + 1 for name, limit in limits.items()}
    assert post(in_pieces(body, 64), headers, **enough).status == 200, what


def test_sizes_of_a_part_are_those_of_one_part() -> None:
    """Two files, two fields or two sets of headers within their limits are within them."""
    body = multipart(ONE_FILE, ONE_FILE, ONE_FIELD, ONE_FIELD)
    assert post(body, max_file_size=100, max_part_size=104, max_header_size=100).status == 200


def test_a_form_is_refused_while_it_streams() -> None:
    """What comes after the limit is never read."""
    endless = [b"a=" + b"x" * 1000] + [b"x" * 1000] * 1000
    answer = post(endless, URLENCODED, max_total_size=5000)
    assert answer.status == 413
    assert answer.taken == 5


def test_a_large_file_is_refused_while_it_streams() -> None:
    """Nor is more of it written to disk."""
    head = upload("a", b"")[:-2]
    answer = post([head] + [b"x" * 1000] * 1000, max_file_size=5000)
    assert answer.status == 413
    assert answer.taken == 7


def test_an_announced_size_is_refused_before_anything_is_read() -> None:
    """A client that waits for "100 Continue" need not send what would be refused."""
    answer = post([b"x"], URLENCODED | {"content-length": "5001"}, max_total_size=5000)
    assert (answer.status, answer.taken) == (413, 0)


@pytest.mark.parametrize("length", ["", "-1", "x", "²", "9" * 5000, "1, 1"])
def test_a_senseless_content_length_does_not_raise(length: str) -> None:
    """It is only a claim: what comes is counted."""
    assert post(b"a=1", URLENCODED | {"content-length": length}).status == 200


def test_the_limits_of_the_function_are_those_of_the_class() -> None:
    """`form_data` takes each limit by its name."""
    assert set(get_type_hints(FormLimits)) == {limit.name for limit in fields(Limits)}


@pytest.mark.parametrize("value", [-1, None, "5", True, 1.5])
def test_a_limit_is_a_number(value: Any) -> None:
    """What is none is found when the application starts."""
    with pytest.raises(ConfigurationError, match="max_files"):
        form_data(max_files=value)


def with_headers(*sizes: int) -> bytes:
    """Return a field with headers of these many bytes beside its Content-Disposition."""
    headers = b"".join(b"X: " + b"x" * (size - 1) + b"\r\n" for size in sizes)
    return field("a", "1").replace(b"\r\n\r\n", b"\r\n" + headers + b"\r\n", 1)


@pytest.mark.parametrize("suppress_errors", [False, True])
@pytest.mark.parametrize("size", [64, 100_000])
@pytest.mark.parametrize(
    ("limit", "sizes", "status"),
    [
        (4096, [3000], 200),
        (4096, [4096], 413),
        (4096, [2500, 2500], 413),
        (4096, [6144], 413),
        (16_384, [6144, 6144], 200),
        (16_384, [15_000], 200),
        (16_384, [17_000], 413),
        (100_000, [90_000], 200),
        (10, [], 413),
    ],
)
def test_headers_of_a_part_are_limited_by_our_limit_alone(
    limit: int, sizes: list[int], status: int, size: int, suppress_errors: bool
) -> None:
    """Above it is 413, also with suppress_errors, below it the form is read, however it is cut."""
    body = in_pieces(multipart(with_headers(*sizes)), size)
    answer = post(body, suppress_errors=suppress_errors, max_header_size=limit)
    assert answer.status == status
    if status == 200:
        assert answer.text == '[["a","1"]]'


@pytest.mark.parametrize("suppress_errors", [False, True])
def test_the_number_of_headers_of_a_part_is_limited(suppress_errors: bool) -> None:
    """A limit of numbers is 400, also with suppress_errors; each part counts anew."""
    eight = with_headers(*[5] * 7)
    assert post(multipart(eight, eight), suppress_errors=suppress_errors).status == 200
    answer = post(multipart(eight, with_headers(*[5] * 8)), suppress_errors=suppress_errors)
    assert (answer.status, answer.text) == (400, "the form has more than 8 headers in a part\n")


@pytest.mark.parametrize("piece", [b"&", b"&=", b"=&"])
def test_an_urlencoded_body_of_separators_is_refused_while_it_streams(piece: bytes) -> None:
    """It holds no text and hardly a field; so separators have a limit of their own."""
    endless = [piece * 500] * 1000
    answer = post(endless, URLENCODED, max_text_size=2000, suppress_errors=True)
    assert answer.status in (400, 413)
    assert answer.taken <= 10
