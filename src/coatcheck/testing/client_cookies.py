"""
The cookies of a test's client, whichever it is.

    httpx, Starlette, Litestar   client.cookies.jar      a CookieJar of the standard library
    Quart                        client.cookie_jar       likewise
    Flask, Werkzeug              client.set_cookie(…)
    aiohttp                      client.session.cookie_jar
    Django                       client.cookies          a dict of morsels
    any other                    a dict of names and values, to send with `cookies=`

A client is known by what it has, so that no framework is imported.
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
"""Where clients without a `base_url` send their requests."""


class Jar(Protocol):
    """The cookies of one client."""

    def header(self, cookie: Cookie, /) -> str | None:
        """Return the Cookie header that the client would send, or None if it has no cookie."""

    def take(self, cookie: Cookie, line: str, /) -> None:
        """Do with a Set-Cookie header value what the client does with one from a response."""


def jar_of(client: object, url: str | None) -> Jar:
    """
    Return the cookies of *client*.

    Args:
        url: Where it sends its requests; None: to its own base URL, else to `LOCAL`.

    Raises:
        ConfigurationError: It is no client that is known here.
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
        f"{type(client).__name__} is no client whose cookies are known: keep them in a dict, give "
        "that to the kit, and send it with the requests"
    )


class Named:
    """Cookies by name: a dict, or what Django's client has."""

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
        ConfigurationError: The URL is none.
    """

    def __init__(self, jar: CookieJar, url: str, *, strict: bool) -> None:
        parts = urlsplit(url)
        if not parts.hostname:
            raise ConfigurationError("this client has no base_url: give it one, or the kit a url")
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
    """What a CookieJar reads of a response."""

    def __init__(self, line: str) -> None:
        self._headers = Message()
        self._headers["Set-Cookie"] = line

    def info(self) -> Message:
        return self._headers


def _value(line: str) -> str:
    """Return the value in a Set-Cookie header value; "" in one that removes the cookie."""
    return line.partition(";")[0].partition("=")[2]


def _check_scheme(cookie: Cookie, url: str) -> None:
    if cookie.secure and urlsplit(url).scheme == "http":
        raise ConfigurationError(
            f"cookie {cookie.name!r} is Secure, and this client speaks http, so it would never be "
            "sent: give the client an https base_url, or the cookie secure=False in tests"
        )
