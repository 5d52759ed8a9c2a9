"""
Reasons for which a browser rejects a session cookie, logged once each.

    cookie '__session' will be lost: it is Secure, and the request came over plain http …

If browsers reject the cookie, every request looks like the first one of a new visitor. Only the
first cookie of a visitor is checked: a request that brings the cookie shows that the browser keeps
it. The check uses what the server says of the request. It ignores a header such as
X-Forwarded-Proto, which any client can send: a server that trusts its proxy has put it into the
scheme already.

Source: RFC 6265bis, 5.7 (what is stored) and 5.1.4 (paths); Fetch Metadata, 2.
"""

import logging
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address

from coatcheck._cookie.cookie import Cookie

_logger = logging.getLogger("coatcheck")

_PROXY = "if a proxy before the server is the reason, see docs/how-to/behind-a-proxy.md"

REASONS = {
    "secure": "it is Secure, and the request came over plain http to {host!r}: serve https, or set "
    f"secure=False while you develop; {_PROXY}",
    "safari": "it is Secure, and Safari keeps no such cookie over plain http, not even from "
    "{host!r}: set secure=False while you develop, or use another browser there",
    "domain": "its Domain is {cookie.domain!r}, and the request went to {host!r}: leave domain= "
    f"out to serve one host alone; {_PROXY}",
    "path": "its Path is {cookie.path!r}, so the browser does not send it back to the page that "
    f"was asked for: set path='/'; {_PROXY}",
    "samesite": "it is SameSite={cookie.samesite}, and a page of another site asked: serve both "
    "from one site, or set samesite='None'",
    "expires": "its Expires was {cookie.expires}: set max_age, which counts from each response on",
}
"""The text of the log line, by the attribute for which a browser rejects the cookie."""


@dataclass(frozen=True, slots=True)
class Seen:
    """
    The facts of a request that the server reports; "": unknown.

    Args:
        scheme: "http", "https", "ws" or "wss".
        host: The Host header, from the client.
        path: As the client asked for it, so with the root path.
        site: The Sec-Fetch-Site header, from browsers: "cross-site".
        destination: The Sec-Fetch-Dest header: "document" is a page in a tab.
        agent: The User-Agent header, from the client.
    """

    scheme: str = ""
    host: str = ""
    path: str = ""
    site: str = ""
    destination: str = ""
    agent: str = ""


class Rejections:
    """The log lines of one cookie; each is written once."""

    def __init__(self, cookie: Cookie) -> None:
        self._cookie = cookie
        self._said: set[str] = set()
        self._local_name = ""

    def check(self, seen: Seen, now: datetime) -> None:
        """Log why a browser rejects the cookie, once for each reason."""
        for attribute, reason in reasons(self._cookie, seen, now).items():
            if attribute not in self._said:
                self._said.add(attribute)
                _logger.warning("cookie %r will be lost: %s", self._cookie.name, reason)
        self._compare(_without_port(seen.host))

    def _compare(self, host: str) -> None:
        """Log once that this machine is opened under two names, whose cookies are kept apart."""
        if not (host == "localhost" or _is_loopback(host)):
            return
        first = self._local_name = self._local_name or host
        if host != first and "host" not in self._said:
            self._said.add("host")
            _logger.warning(
                "cookie %r was set for %r, and now for %r: browsers keep them apart, so a session "
                "under one name is absent under the other; open the application under one name",
                self._cookie.name,
                first,
                host,
            )


def reasons(cookie: Cookie, seen: Seen, now: datetime) -> dict[str, str]:
    """Return the attributes for which a browser rejects the cookie, each with the reason."""
    host = _without_port(seen.host)
    plain = seen.scheme in ("http", "ws") and host
    local = _is_local(host)
    framed = seen.site == "cross-site" and seen.destination not in ("", "document")
    over = cookie.max_age is None and cookie.expires and cookie.expires <= now
    lost = {
        "secure": cookie.secure and plain and not local,
        "safari": cookie.secure and plain and local and _is_safari(seen.agent),
        "domain": cookie.domain and host and not _covers_host(cookie.domain, host),
        "path": cookie.path and seen.path and not _covers_path(cookie.path, seen.path),
        "samesite": cookie.samesite in ("Lax", "Strict") and framed,
        "expires": over,
    }
    words = {"cookie": cookie, "host": host}
    return {name: REASONS[name].format(**words) for name, is_lost in lost.items() if is_lost}


def _covers_host(domain: str, host: str) -> bool:
    """Tell whether a Domain attribute covers a host (RFC 6265bis, 5.1.3)."""
    domain = domain.removeprefix(".").lower()
    return host == domain or (host.endswith(f".{domain}") and not _is_address(host))


def _covers_path(prefix: str, path: str) -> bool:
    """Tell whether a Path attribute covers a path (RFC 6265bis, 5.1.4)."""
    return path == prefix or path.startswith(f"{prefix.removesuffix('/')}/")


def _is_local(host: str) -> bool:
    """Tell whether some browsers trust a host without TLS (Secure Contexts, 3.1)."""
    return _is_loopback(host) or host == "localhost" or host.endswith(".localhost")


def _is_loopback(host: str) -> bool:
    return _is_address(host) and ip_address(host).is_loopback


def _is_safari(agent: str) -> bool:
    """Tell whether a browser is Safari, or its engine under another name, as all on iOS are."""
    return "Safari/" in agent and "Chrome/" not in agent


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _without_port(host: str) -> str:
    """Return the name or address in a Host header, which may hold anything."""
    if host.startswith("["):
        return _short(host[1:].partition("]")[0])
    return _short(host.partition(":")[0].removesuffix(".").lower())


def _short(text: str) -> str:
    return text[:255]  # a host's name has no more characters (RFC 1035, 2.3.4)
