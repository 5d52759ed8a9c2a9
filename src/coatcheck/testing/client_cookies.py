"""
The cookies of a test client.

    httpx, Starlette, Litestar   client.cookies.jar      a CookieJar of the standard library
    Quart                        client.cookie_jar       likewise
    Flask, Werkzeug              client.set_cookie(…)
    aiohttp                      client.session.cookie_jar
    Django                       client.cookies          a dict of morsels
    any other                    a dict of names and values, to send with `cookies=`

A client is recognised by its attributes, so that no framework is imported.
"""

from collections.abc import MutableMapping
from email.message import Message
from http.cookiejar import CookieJar
from http.cookies import SimpleCookie
from typing import Any, Protocol
from urllib.parse import urlsplit
from urllib.request import Request

from coatcheck._cookie.cookie import Cookie
from coatcheck.errors import ConfigurationError

LOCAL = "http://localhost/"
"""The URL to which clients without a `base_url` send their requests."""


class Jar(Protocol):
    """The cookies of one client."""

    def header(self, cookie: Cookie, /) -> str | None:
        """Return the Cookie header that the client would send, or None if it has no cookie."""

    def take(self, cookie: Cookie, line: str, /) -> None:
        """Store the cookie of a Set-Cookie header value, as the client does with a response."""


def jar_of(client: object, url: str | None) -> Jar:
    """
    Return the cookies of *client*.

    Args:
        url: The URL to which it sends requests; None: its own base URL, or else `LOCAL`.

    Raises:
        ConfigurationError: The client is none of those above.
    """
    if isinstance(client, MutableMapping):
        return Named(client)
    found: Any = client
    if hasattr(found, "set_cookie") and hasattr(found, "application"):
        return Werkzeug(found, url)
    # Not "session" first: with that, Django's client makes a session and keeps it.
    if hasattr(found, "make_url") and hasattr(found, "session"):
        return Aiohttp(found, url)
    cookies = getattr(found, "cookies", None)
    if isinstance(cookies, dict):
        return Named(cookies)
    if isinstance(jar := getattr(cookies, "jar", None), CookieJar):
        return Standard(jar, url or str(getattr(found, "base_url", "")), strict=True)
    if isinstance(jar := getattr(found, "cookie_jar", None), CookieJar):
        return Standard(jar, url or LOCAL, strict=False)
    raise ConfigurationError(
        "the client must be a known test client or a dict of cookies, got "
        f"{type(client).__name__}: give a dict to the kit, and send it with the requests"
    )


class Named:
    """Cookies by name: a dict, or the cookies of Django's test client."""

    def __init__(self, cookies: MutableMapping[str, Any]) -> None:
        self._cookies = cookies

    def header(self, cookie: Cookie) -> str | None:
        held = self._cookies.get(cookie.name)
        return None if held is None else f"{cookie.name}={getattr(held, 'value', held)}"

    def take(self, cookie: Cookie, line: str) -> None:
        if value := _value(line):
            self._cookies[cookie.name] = value
        else:
            self._cookies.pop(cookie.name, None)


class Standard:
    """
    A CookieJar of the standard library.

    Args:
        strict: The client keeps Secure cookies from http, as browsers do.

    Raises:
        ConfigurationError: The URL has no host.
    """

    def __init__(self, jar: CookieJar, url: str, *, strict: bool) -> None:
        parts = urlsplit(url)
        if not parts.hostname:
            raise ConfigurationError(
                "this client must have a URL, got none: give it a base_url, or SessionKit a url"
            )
        self._jar = jar
        self._strict = strict
        self._url = url if strict else parts._replace(scheme="https").geturl()

    def header(self, cookie: Cookie) -> str | None:  # noqa: ARG002 - a jar of many cookies sends all
        request = Request(self._url)  # noqa: S310 - nothing is opened
        self._jar.add_cookie_header(request)
        return request.get_header("Cookie")

    def take(self, cookie: Cookie, line: str) -> None:
        if self._strict:
            _check_scheme(cookie, self._url)
        self._jar.extract_cookies(_Response(line), Request(self._url))  # type: ignore[arg-type]  # noqa: S310


class Werkzeug:
    """The test client of Werkzeug and Flask."""

    def __init__(self, client: Any, url: str | None) -> None:
        self._client = client
        config = getattr(client.application, "config", {})
        self._host = urlsplit(url or f"//{config.get('SERVER_NAME') or 'localhost'}").hostname

    def header(self, cookie: Cookie) -> str | None:
        held = self._client.get_cookie(cookie.name, **self._place(cookie))
        return None if held is None else f"{cookie.name}={held.value}"

    def take(self, cookie: Cookie, line: str) -> None:
        if value := _value(line):
            subdomains = cookie.domain is not None
            place = {**self._place(cookie), "origin_only": not subdomains}
            self._client.set_cookie(cookie.name, value, **place)
        else:
            self._client.delete_cookie(cookie.name, **self._place(cookie))

    def _place(self, cookie: Cookie) -> dict[str, Any]:
        return {"domain": cookie.domain or self._host, "path": cookie.path or "/"}


class Aiohttp:
    """The test client of aiohttp."""

    def __init__(self, client: Any, url: str | None) -> None:
        self._jar = client.session.cookie_jar
        self._url = type(client.make_url("/"))(url) if url else client.make_url("/")

    def header(self, cookie: Cookie) -> str | None:
        held = self._jar.filter_cookies(self._url).get(cookie.name)
        return None if held is None else f"{cookie.name}={held.value}"

    def take(self, cookie: Cookie, line: str) -> None:
        _check_scheme(cookie, str(self._url))
        morsels = SimpleCookie({cookie.name: value if (value := _value(line)) else ""})
        morsel = morsels[cookie.name]
        morsel["path"], morsel["domain"] = cookie.path or "/", cookie.domain or ""
        morsel["secure"], morsel["max-age"] = cookie.secure, "" if value else "0"
        self._jar.update_cookies(morsels, self._url)


class _Response:
    """The part of a response that a CookieJar reads."""

    def __init__(self, line: str) -> None:
        self._headers = Message()
        self._headers["Set-Cookie"] = line

    def info(self) -> Message:
        return self._headers


def _value(line: str) -> str:
    """Return the value in a Set-Cookie header value, or "" if it removes the cookie."""
    return line.partition(";")[0].partition("=")[2]


def _check_scheme(cookie: Cookie, url: str) -> None:
    if cookie.secure and urlsplit(url).scheme == "http":
        raise ConfigurationError(
            f"cookie {cookie.name!r} is Secure, so a client over http never sends it: give the "
            "client an https base_url, or the cookie secure=False in tests"
        )
