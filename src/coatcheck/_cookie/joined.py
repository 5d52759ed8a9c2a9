"""
A line in the log where a server joined several Cookie fields with commas.

    Cookie: theme=dark                    HTTP_COOKIE = "theme=dark,__session=k0lF…"
    Cookie: __session=k0lF…

HTTP/2 and HTTP/3 clients may send each cookie in a field of its own, and a proxy is to join them
with "; " before it speaks HTTP/1.1 (RFC 9113, 8.2.3). If it does not, most WSGI servers join them
with "," as any other header, and the session is not found: the visitor seems to be a new one.
"""

import logging
import re

_logger = logging.getLogger("coatcheck")


class JoinedFields:
    """Looks whether the fields of a request were joined, and says so once."""

    def __init__(self, name: str) -> None:
        self._name = name
        pair = rf"[ \t]*{re.escape(name)}[ \t]*="
        self._pattern = re.compile(rf",{pair}|(?:^|;){pair}[^;,]*,")
        self._said = False

    def check(self, header: str) -> None:
        """Log once that *header*, in which no cookie of ours was found, holds it behind commas."""
        if self._said or "," not in header or not self._pattern.search(header):
            return
        self._said = True
        _logger.warning(
            "the session of a request was not found: its Cookie fields arrived joined with ',', so "
            "cookie %r cannot be told from the others; let the proxy join them with '; ', see "
            "docs/how-to/behind-a-proxy.md",
            self._name,
        )
