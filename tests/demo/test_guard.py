"""Forms of other sites are refused, and every response carries the headers."""

import pytest
from starlette.datastructures import Headers

from coatcheck.demo.guard import is_foreign

HOST = "127.0.0.1:8000"


@pytest.mark.parametrize(
    ("given", "foreign"),
    [
        ({"sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "same-site"}, True),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": "cross-site", "origin": f"http://{HOST}"}, True),
        ({"origin": f"http://{HOST}"}, False),
        ({"origin": "http://127.0.0.1:3000"}, True),
        ({"origin": "http://evil.example"}, True),
        ({"origin": "null"}, True),
        ({"origin": ""}, True),
        ({"origin": "http://[evil"}, True),
        ({"origin": "http://[::1"}, True),
        ({"origin": "http://a]b"}, True),
        ({"origin": "http://a\xb2b"}, True),
        ({"origin": f"http://{HOST}/../x"}, True),
        ({}, False),
    ],
)
def test_only_pages_of_this_origin_may_post(given: dict[str, str], foreign: bool) -> None:
    """What the browser says decides; another port of this host is another origin, too."""
    assert is_foreign(Headers({"host": HOST, **given})) is foreign


@pytest.mark.parametrize("origin", ["http://[evil", "http://a]b", "//", "", "http://a\xb2b"])
def test_an_origin_that_is_none_is_foreign_without_a_host_too(origin: str) -> None:
    """What a client sends never raises, also where a request brings no Host."""
    assert is_foreign(Headers({"origin": origin})) is True
