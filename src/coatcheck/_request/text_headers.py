"""
The changes of a response's headers, for hosts whose headers are text.

Pure: text in, text out.
"""

from collections.abc import Iterable

from coatcheck._cookie.headers import amended
from coatcheck._request.visit import VARY, Changes

CHANGED = ("vary", "cache-control")
"""Endings of the names of headers that `amended` may change."""

_SPELLED = {b"vary": "Vary", b"cache-control": "Cache-Control", b"set-cookie": "Set-Cookie"}
"""Names as HTTP/1.1 spells them; ours come in lower case, as in ASGI."""


def amended_text(headers: Iterable[tuple[str, str]], changes: Changes) -> list[tuple[str, str]]:
    """Return the headers with the changes; those that stay are not decoded and encoded again."""
    kept: list[tuple[str, str]] = []
    ours: list[tuple[str, str]] = []
    for pair in headers:
        (ours if pair[0].lower().endswith(CHANGED) else kept).append(pair)
    if changes is VARY and not ours:
        kept.append(("Vary", "Cookie"))
        return kept
    given = [(_bytes(name), _bytes(value)) for name, value in ours]
    for name, value in amended(given, changes.set_cookies, private=changes.private):
        kept.append((_SPELLED.get(name) or name.decode("latin-1"), value.decode("latin-1")))
    kept += changes.headers
    return kept


def _bytes(text: str) -> bytes:
    return text.encode("latin-1", "replace")
