"""Changes of headers that are text."""

from coatcheck._request.text_headers import amended_text
from coatcheck._request.visit import Changes


def test_the_headers_say_what_the_changes_say() -> None:
    """Vary and Cache-Control are merged; cookies and further headers are added, line by line."""
    given = [("Vary", "Accept"), ("X-Own", "1"), ("Cache-Control", "public, max-age=60")]
    changes = Changes(True, True, ("a=1", "b=2"), (("X-More", "2"),))
    assert sorted(amended_text(given, changes)) == [
        ("Cache-Control", "max-age=60, private"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("Vary", "Accept, Cookie"),
        ("X-More", "2"),
        ("X-Own", "1"),
    ]


def test_other_headers_stay_as_they_are() -> None:
    """In their order and spelling, also where they hold what HTTP/1.1 cannot send."""
    given = [("x-CUSTOM", "\u20ac"), ("Set-Cookie", "other=1")]
    assert amended_text(given, Changes(vary=True)) == [*given, ("Vary", "Cookie")]
