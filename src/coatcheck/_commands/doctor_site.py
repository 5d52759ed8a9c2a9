"""
`coatcheck doctor http://…`: act as a browser towards a running application.

    coatcheck doctor https://shop.example --start /cart/add --sign-in '/login name=ada&password=x'

It asks for pages as a browser would, and looks at the cookies and headers that come back. Nothing
is asked of the server but what these arguments say.
"""

import http.client
import ssl
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from coatcheck._commands.checks import Check, write
from coatcheck._commands.output import Output, reason_of
from coatcheck.errors import ConfigurationError

TIMEOUT = 10.0
REPEATS = 8
"""Requests, each on a connection of its own, so that several workers get some of them."""

LARGEST = 4096


class Page(NamedTuple):
    """A response."""

    status: int
    headers: list[tuple[str, str]]

    def all(self, name: str) -> list[str]:
        """Return the values of a header."""
        return [value for field, value in self.headers if field.lower() == name]


class Attributes(NamedTuple):
    """One Set-Cookie line, read."""

    name: str
    value: str
    flags: dict[str, str]
    size: int

    @property
    def removes(self) -> bool:
        return self.flags.get("max-age") == "0" or not self.value


class Visitor:
    """
    A browser with one cookie jar for one site.

    Raises:
        ConfigurationError: The URL is none of a site.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError("the URL must be http://HOST or https://HOST")
        self.secure = parts.scheme == "https"
        self.host, self.port = parts.hostname, parts.port
        self.start = parts.path or "/"
        self.jar: dict[str, str] = {}

    def ask(self, path: str, body: str | None = None, **headers: str) -> Page:
        """Ask for a page; *body* is a form."""
        sent = {"User-Agent": "coatcheck-doctor", "Accept": "text/html", **headers}
        if self.jar:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        if body is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
            sent.setdefault("Origin", self.origin)
        connection = self._connection()
        try:
            connection.request("GET" if body is None else "POST", path, body, sent)
            answer = connection.getresponse()
            answer.read()
            page = Page(answer.status, answer.getheaders())
        except http.client.HTTPException as error:
            raise ConnectionError(f"{self.host} sent no HTTP: {type(error).__name__}") from error
        except OSError as error:
            raise OSError(f"{self.origin} cannot be reached: {reason_of(error)}") from error
        finally:
            connection.close()
        for line in page.all("set-cookie"):
            if (cookie := read(line)) is not None:
                self._keep(cookie)
        return page

    @property
    def origin(self) -> str:
        port = f":{self.port}" if self.port else ""
        return f"{'https' if self.secure else 'http'}://{self.host}{port}"

    def _keep(self, cookie: Attributes) -> None:
        if cookie.removes:
            self.jar.pop(cookie.name, None)
        else:
            self.jar[cookie.name] = cookie.value

    def _connection(self) -> http.client.HTTPConnection:
        if self.secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(
                self.host, self.port, timeout=TIMEOUT, context=context
            )
        return http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT)


def doctor_site(
    url: str,
    output: Output,
    *,
    cookie: str | None = None,
    start: str | None = None,
    sign_in: str | None = None,
    sign_out: str | None = None,
) -> int:
    """
    Write what was found about a running application, and return the exit code.

    Args:
        cookie: The name of the session cookie; None: the first one that is HttpOnly.
        start: A page that begins a session; None: the one of the URL.
        sign_in: "PATH FORM" to sign in with, as in "/login name=ada&password=x".
        sign_out: "PATH FORM" to sign out with.

    Raises:
        ConfigurationError: The URL is none of a site.
        OSError: It cannot be reached.
    """
    return write(_checks(Visitor(url), cookie, start, sign_in, sign_out), output)


def _checks(
    visitor: Visitor,
    name: str | None,
    start: str | None,
    sign_in: str | None,
    sign_out: str | None,
) -> Iterator[Check]:
    page = visitor.ask(start or visitor.start)
    cookies = [found for line in page.all("set-cookie") if (found := read(line)) is not None]
    if not cookies and sign_in:
        page = _post(visitor, sign_in)
        cookies = [found for line in page.all("set-cookie") if (found := read(line)) is not None]
        sign_in = None
    ours = _session_cookie(cookies, name)
    if ours is None:
        yield Check(
            "warn",
            "session cookie",
            f"status {page.status}, and no session cookie came: name a page that begins a session "
            "with --start, or --sign-in",
        )
        return
    yield Check("info", "session cookie", ours.name)
    yield from _attributes(ours, visitor)
    yield from _caching(page)
    yield from _workers(visitor, ours.name, start or visitor.start)
    yield _return(visitor, ours, start or visitor.start)
    if sign_in:
        before = visitor.jar.get(ours.name)
        _post(visitor, sign_in)
        changed = visitor.jar.get(ours.name) != before
        yield Check(
            "ok" if changed else "fail",
            "sign-in",
            "the cookie changed" if changed else "the cookie is the same: call session.sign_in()",
        )
    if sign_out:
        _post(visitor, sign_out)
        gone = ours.name not in visitor.jar
        yield Check(
            "ok" if gone else "fail",
            "sign-out",
            "the cookie was removed" if gone else "the cookie stays: call session.sign_out()",
        )


def _post(visitor: Visitor, wanted: str) -> Page:
    path, _, form = wanted.partition(" ")
    return visitor.ask(path, form or urlencode({}))


def _session_cookie(cookies: list[Attributes], name: str | None) -> Attributes | None:
    for found in cookies:
        if not found.removes and (found.name == name if name else "httponly" in found.flags):
            return found
    return None


def _attributes(ours: Attributes, visitor: Visitor) -> Iterator[Check]:
    flags = ours.flags
    secure = "secure" in flags
    if secure and not visitor.secure and visitor.host not in ("localhost", "127.0.0.1", "::1"):
        yield Check("fail", "Secure", "set, but this is http: browsers will drop the cookie")
    elif secure:
        yield Check("ok", "Secure", "set")
    elif visitor.secure:
        yield Check(
            "fail",
            "Secure",
            "missing on https: it travels in clear too; say secure=True, and let the server "
            "trust its proxy",
        )
    else:
        yield Check("warn", "Secure", "missing: right for development alone")
    http_only = "httponly" in flags
    yield Check(
        "ok" if http_only else "fail",
        "HttpOnly",
        "set" if http_only else "missing: scripts read it",
    )
    same = flags.get("samesite", "")
    text = {
        "strict": "Strict: a visitor who returns from another site looks signed out at first",
        "lax": "Lax: sent when a visitor returns from another site, but not with its forms",
        "none": "None: sent with requests of every other site; check cross_origin()",
    }.get(same.lower(), "missing: browsers differ in what they do then")
    yield Check("ok" if same.lower() in ("lax", "strict") else "warn", "SameSite", text)
    size_is_fine = ours.size <= LARGEST
    yield Check("ok" if size_is_fine else "fail", "size", f"{ours.size} of {LARGEST} bytes")
    prefixed = ours.name.startswith(("__Host-", "__Secure-"))
    if visitor.secure and not prefixed:
        yield Check(
            "info", "name", "a name that begins with __Host- keeps subdomains from setting it"
        )


def _caching(page: Page) -> Iterator[Check]:
    control = ", ".join(page.all("cache-control")).lower()
    public = not any(word in control for word in ("private", "no-store"))
    yield Check(
        "fail" if public else "ok",
        "Cache-Control",
        "a shared cache may keep a response with the cookie" if public else control,
    )
    varies = "cookie" in ", ".join(page.all("vary")).lower()
    yield Check("ok" if varies else "warn", "Vary", "Cookie" if varies else "Cookie is missing")


def _workers(visitor: Visitor, name: str, path: str) -> Iterator[Check]:
    """Send the cookie over several connections: a worker with another secret would drop it."""
    begun = visitor.jar.get(name)
    lost = 0
    for _ in range(REPEATS):
        visitor.jar[name] = begun or ""
        page = visitor.ask(path)
        lines = [found for line in page.all("set-cookie") if (found := read(line)) is not None]
        lost += any(found.name == name and len(found.value) > 0 for found in lines)
    visitor.jar[name] = begun or ""
    if lost == REPEATS:
        yield Check("info", "workers", "the page sends a cookie with each answer: nothing is told")
    elif lost:
        yield Check(
            "fail",
            "workers",
            f"{lost} of {REPEATS} answers began another session: do all workers have the same "
            "secret, and one storage for all?",
        )
    else:
        yield Check("ok", "workers", f"{REPEATS} connections, one session")


FROM_ELSEWHERE = {
    "Referer": "https://another.example/",
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}
"""What a browser sends when a visitor follows a link of another site."""


def _return(visitor: Visitor, ours: Attributes, path: str) -> Check:
    """Come back by a link of another site, with the cookie if a browser would send it."""
    begun = visitor.jar.get(ours.name, "")
    is_sent = ours.flags.get("samesite", "").lower() != "strict"
    if not is_sent:
        visitor.jar.pop(ours.name, None)
    page = visitor.ask(path, **FROM_ELSEWHERE)
    is_other = visitor.jar.get(ours.name, "") != (begun if is_sent else "")
    visitor.jar[ours.name] = begun
    if page.status in (401, 403):
        return Check("fail", "return", f"a link of another site leads to the status {page.status}")
    if not is_other:
        return Check("ok", "return", "a link of another site leads to the same session")
    if is_sent:
        return Check("info", "return", "the page sends a cookie with each answer: nothing is told")
    return Check(
        "fail",
        "return",
        "a link of another site begins another session, which replaces the visitor's: browsers "
        "keep a Strict cookie back there; use SameSite=Lax",
    )


def read(line: str) -> Attributes | None:
    """Return a Set-Cookie line, read; None: it is none."""
    pair, *rest = line.split(";")
    name, equals, value = pair.strip().partition("=")
    if not equals or not name:
        return None
    flags = {}
    for each in rest:
        flag, _, text = each.strip().partition("=")
        flags[flag.lower()] = text.strip()
    return Attributes(name, value, flags, len(line))
