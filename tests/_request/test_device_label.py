"""The label of a device, from the User-Agent that a browser sends."""

import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coatcheck import ConfigurationError, device_label

GECKO = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0"
WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
)


@pytest.mark.parametrize(
    ("header", "label"),
    [
        (GECKO, "Firefox on Windows"),
        (IPHONE, "Safari on iPhone"),
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Edg/130.0", "Edge on macOS"),
        (f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {WEBKIT} Mobile Safari", "Chrome on Android"),
        (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {WEBKIT} Safari", "Chrome on Chrome OS"),
        ("curl/8.5.0", "curl"),
        ("Mozilla/5.0 (Windows NT 10.0)", "Windows"),
        ("nonsense", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_a_label_is_what_people_call_their_device(header: str | None, label: str) -> None:
    """The browser and the system, without versions; what tells nothing has no label."""
    assert device_label(header) == label


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=2000))
def test_whatever_a_client_sends_is_a_short_printable_label(header: str) -> None:
    """A client may send anything, and it raises nothing."""
    for sent in (header, f"Mozilla/5.0 {header}", f"{header * 9}/1.0 {GECKO}"):
        label = device_label(sent)
        assert len(label) <= 60 and label.isprintable()


def test_the_extra_is_named_where_it_is_missing(monkeypatch: Any) -> None:
    """A label needs a parser."""
    monkeypatch.setitem(sys.modules, "ua_parser", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'coatcheck\[devices\]'"):
        device_label(GECKO)
