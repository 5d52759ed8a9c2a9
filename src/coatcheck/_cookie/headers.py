"""
The grammar of the headers a session touches: Cookie, Set-Cookie, Vary, Cache-Control.

What the application configures is checked strictly and raises `ConfigurationError`. What a client
sends is read generously, in linear time, and never raises.

Pure: text in, text out.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from string import ascii_letters, digits
from typing import Protocol
from urllib.parse import quote, unquote

from coatcheck.errors import ConfigurationError

Header = tuple[bytes, bytes]

VARY = (b"vary", b"Cookie")

_VARY_LENGTH = len(VARY[0])

_CACHED = b"cache-control"
"""The ending of field names for caches: RFC 9213 allows others than this one."""

_CACHED_LENGTH = len(_CACHED)

MAX_COOKIES, MAX_FIELDS = 64 * 1024, 100
"""The bytes and fields of Cookie headers that are read of one request, however they came."""

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, 5.6.2
_COOKIE_OCTETS = re.compile(
    r"[!#-+\--:<-\[\]-~]*"
)  # RFC 6265, 4.1.1: no control, space, " , ; or \
_PATH = re.compile(r"[ -:<-~]*")  # RFC 6265, 4.1.1: no control character, no ";", ASCII
_DOMAIN = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")

_SAFE = "!#$&'()*+-./:<=>?@[]^_`{|}~"  # cookie octets, less "%", which marks an escape
_UNESCAPED = (ascii_letters + digits + _SAFE).encode()

_AROUND = " \t"  # white space around a value, which is no part of it

_PREFIXES = {  # RFC 6265bis, 4.1.3, longest first; browsers compare them without case
    "__host-http-": ("Secure", "HttpOnly", "Path=/", "no Domain"),
    "__http-": ("Secure", "HttpOnly"),
    "__host-": ("Secure", "Path=/", "no Domain"),
    "__secure-": ("Secure",),
}


class CookieFinder:
    """
    A pattern that finds the values of one cookie, and of no other, in a Cookie header.

    A browser sends a name twice when two cookies differ in Domain or Path, and nothing in the
    header tells them apart. A pair without a name ("=x=1") never counts as the pair "x=1".

    Source: RFC 6265, 4.2.1 and 5.4. One pair of quotes around a value is no part of it (4.1.1); any
    other quote is.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._first, self._later = f"{name}=", f"; {name}="
        self._length = len(self._first)
        self._pattern = re.compile(rf"(?:^|;)[ \t]*{re.escape(name)}[ \t]*=([^;]*)")

    def values(self, header: str) -> list[str]:
        """
        Return the values that a Cookie header gives for the name, in order.

        Where it gives several, those beyond `MAX_COOKIES` bytes are ignored: each is to be opened.
        """
        only = self.only(header)
        if only is None:
            return list(map(_bare, self._pattern.findall(header, 0, MAX_COOKIES)))
        return [only]

    def only(self, header: str) -> str | None:
        """
        Return the one value that a Cookie header gives for the name; None: see `values`.

        As browsers write it, the name stands there once, alone or behind "; ". To look for that is
        faster than the pattern, which is left for the rest.
        """
        if ";" not in header and header.startswith(self._first):
            value = header[self._length :]
        elif header.count(self._name) == 1:
            at = 0 if header.startswith(self._first) else header.find(self._later) + 2  # "; "
            if at == 1:  # written in another way
                return None
            start = at + self._length
            end = header.find(";", start)
            value = header[start:] if end < 0 else header[start:end]
        else:
            return None
        return _bare(value) if '"' in value else value.strip(_AROUND)


def _bare(value: str) -> str:
    """Return a value without white space around it, and without one pair of quotes."""
    value = value.strip(_AROUND)
    if len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    return value


def escape(value: str) -> str:
    """Return *value* as cookie octets: what is safe as it is, the rest percent-encoded."""
    # Nothing is left without what is safe: a pattern takes twice as long to tell.
    if value.isascii() and not value.encode().translate(None, _UNESCAPED):
        return value
    return quote(value, safe=_SAFE)


def unescape(value: str) -> str:
    """
    Undo `escape`.

    Raises:
        UnicodeDecodeError: The escapes do not spell text.
    """
    return unquote(value, errors="strict")


def is_cookie_safe(value: str) -> bool:
    """Tell whether *value* can stand in a cookie unescaped."""
    return _COOKIE_OCTETS.fullmatch(value) is not None


def check_name(name: str) -> None:
    """Refuse a cookie name that is no token."""
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise ConfigurationError(f"name must be letters, digits and !#$%&'*+-.^_`|~, got {name!r}")


def checked_domain(domain: str | None) -> str | None:
    """
    Return a Domain without the leading dot, which browsers ignore (RFC 6265, 5.2.3).

    Raises:
        ConfigurationError: It is no host name (RFC 1123, 2.1).
    """
    if domain is None:
        return None
    if not isinstance(domain, str) or not _DOMAIN.fullmatch(domain.removeprefix(".")):
        raise ConfigurationError(
            f"domain must be a host name without scheme, port or list, got {domain!r}"
        )
    return domain.removeprefix(".")


def check_path(path: str | None) -> None:
    """Refuse a Path that browsers would ignore or that breaks out of its attribute."""
    if path is None:
        return
    if not (isinstance(path, str) and path.startswith("/") and _PATH.fullmatch(path)):
        raise ConfigurationError(
            "path must start with '/' and hold no control character, ';' or non-ASCII, "
            f"got {path!r}"
        )


class Promises(Protocol):
    """The attributes of a cookie that a prefix of its name makes promises about."""

    @property
    def name(self) -> str: ...
    @property
    def secure(self) -> bool: ...
    @property
    def httponly(self) -> bool: ...
    @property
    def path(self) -> str | None: ...
    @property
    def domain(self) -> str | None: ...


def check_prefix(cookie: Promises) -> None:
    """Refuse a cookie that breaks what a prefix of its name promises: browsers drop it."""
    prefix = next((known for known in _PREFIXES if cookie.name.lower().startswith(known)), None)
    if prefix is None:
        return
    kept = {
        "Secure": cookie.secure,
        "HttpOnly": cookie.httponly,
        "Path=/": cookie.path == "/",
        "no Domain": not cookie.domain,
    }
    if not all(kept[promise] for promise in _PREFIXES[prefix]):
        raise ConfigurationError(
            f"a cookie named {cookie.name!r} needs {', '.join(_PREFIXES[prefix])}"
        )


def http_date(moment: datetime) -> str:
    """Return "Wed, 21 Oct 2026 07:28:00 GMT" for an aware datetime (RFC 9110, 5.6.7)."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def with_vary_cookie(vary: str) -> str:
    """Return the Vary header *vary* ("" if there is none) with Cookie in it."""
    fields = {field.strip().lower() for field in vary.split(",")}
    if fields & {"*", "cookie"}:
        return vary
    return f"{vary}, Cookie" if vary.strip() else "Cookie"


def kept_private(cache_control: str) -> str:
    """
    Return the Cache-Control header so that no shared cache keeps the response.

    What allows it is taken out (public, s-maxage, and the like), private is put in unless no-store
    already says more.

    Source: RFC 9111, 5.2.2.
    """
    directives = [part for each in cache_control.split(",") if (part := each.strip())]
    names = {_directive(part) for part in directives}
    kept = [part for part in directives if _directive(part) not in _SHARED]
    return ", ".join(kept if names & {"no-store"} else [*kept, "private"])


_SHARED = {"public", "s-maxage", "proxy-revalidate", "private"}


def _directive(part: str) -> str:
    return part.partition("=")[0].strip().lower()


def amended(
    given: Iterable[Header], set_cookies: Iterable[str], *, private: bool = False
) -> list[Header]:
    """
    Return a response's headers with what the session adds to them.

    A response that depends on the session says so to caches, and one that sets its cookie is kept
    by none that others share. All other headers stay, other cookies among them.
    """
    kept: list[Header] = []
    vary, is_private = "", not private
    for header in given:
        name = header[0]
        length = len(name)
        if length == _VARY_LENGTH and name.lower() == b"vary":
            value = header[1].decode("latin-1")
            vary = f"{vary}, {value}" if vary else value
        elif private and length >= _CACHED_LENGTH and name.lower().endswith(_CACHED):
            cached = kept_private(header[1].decode("latin-1"))
            kept.append((name, cached.encode("latin-1")))
            is_private = is_private or length == _CACHED_LENGTH
        else:
            kept.append(header)
    kept.append((b"vary", with_vary_cookie(vary).encode("latin-1")) if vary else VARY)
    if not is_private:
        kept.append((b"cache-control", b"private"))
    for line in set_cookies:
        kept.append((b"set-cookie", line.encode("ascii")))  # noqa: PERF401 - most often there is none
    return kept


def varying(given: Iterable[Header]) -> list[Header]:
    """Return a response's headers, which say that it depends on the session."""
    headers = list(given)
    for name, _ in headers:
        if len(name) == _VARY_LENGTH and name.lower() == b"vary":
            return amended(headers, ())
    headers.append(VARY)
    return headers


def joined_cookies(headers: Iterable[Header]) -> str:
    """
    Return the Cookie fields of a request as one header value.

    What a request brings beyond `MAX_FIELDS` fields or `MAX_COOKIES` bytes is ignored.
    """
    fields: list[bytes] = []
    size = 0
    for name, value in headers:
        if name != b"cookie":
            continue
        size += len(value) + 2
        if len(fields) == MAX_FIELDS or size > MAX_COOKIES:
            break
        fields.append(value)
    return b"; ".join(fields).decode("latin-1")
