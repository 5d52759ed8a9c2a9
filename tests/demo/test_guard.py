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
        ({}, False),
    ],
)
def test_only_pages_of_this_origin_may_post(given: dict[str, str], foreign: bool) -> None:
    """What the browser says decides; another port of this host is another origin, too."""
    assert is_foreign(Headers({"host": HOST, **given})) is foreign
