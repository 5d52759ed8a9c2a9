"""
CSRF: requests that pages of other sites let a visitor's browser make.

    app = cross_origin()(app)              refuses them by what browsers say of each request
    app = csrf()(app)                      asks for a token with each unsafe request, too

    token = csrf_token(session)            put it into the form, as a hidden field
    is_csrf_token(session, form["csrf"])   if this is False, answer 403

`cross_origin` needs no session and no change of forms: begin with it. A token is needed for
browsers from before 2020, or where an origin that is trusted is not to send forms.

The token is an HMAC, keyed with a random value that the session's record holds beside its data. So
pages that load at the same time agree on it, and a form that was open while the id was rotated or
the user confirmed the password still works. `regenerate_id()` and signing in change the value, and
it ends with the session. The token does not lead back to the value or to the id.

A session without a record, new or of a storage of your own, has a value that is made from its id.

Source: OWASP Cross-Site Request Forgery Prevention, "HMAC-based token"; Go's net/http,
`CrossOriginProtection`.
"""

import hmac
import sys
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from io import BytesIO
from secrets import token_bytes
from typing import Any
from urllib.parse import parse_qs

from coatcheck._request.origins import SAFE, Facts, Rules, rules_of
from coatcheck._session.draft import Moved, Skipped
from coatcheck._session.session import Session
from coatcheck.asgi import ASGIApp, Receive, Scope, Send
from coatcheck.context import Context
from coatcheck.errors import ConfigurationError
from coatcheck.wsgi import Environ, StartResponse, WSGIApp, path_of

__all__ = [
    "CrossOrigin",
    "Csrf",
    "cross_origin",
    "csrf",
    "csrf_token",
    "is_csrf_token",
    "masked_csrf_token",
]

_MARK = "_csrf"

_LENGTH = 64
"""Characters of a token; a masked one has twice as many."""

FORM_LIMIT = 1_000_000
"""Bytes of a form under WSGI in which a token is looked for."""

_FORM = "application/x-www-form-urlencoded"


def csrf_token(session: Session) -> str:
    """
    Return the token for the forms of a page.

    A new session is saved for that, so the client gets a cookie.

    Returns:
        64 hexadecimal characters, the same for every form of one session until its id changes.

    Raises:
        ResponseStarted: The session is new and the headers have left.
    """
    if session.is_new:
        session[_MARK] = True  # a session that holds nothing is not kept
    return _token(_value_to_come(session))


def is_csrf_token(session: Session, given: object) -> bool:
    """
    Tell whether *given* is the token of *session*.

    Args:
        given: What the client sent, of any type; None if the form has no such field.
    """
    value = _value_held(session)
    if value is None or not isinstance(given, str):
        return False
    if len(given) == 2 * _LENGTH:
        given = _unmasked(given)
    return hmac.compare_digest(_token(value).encode(), given.encode(errors="replace"))


def masked_csrf_token(session: Session) -> str:
    """
    Return the token in another form each time, so that a compressed page does not reveal it.

    A page that shows what a visitor typed, and is compressed, may tell by its length how much of a
    token was guessed (BREACH). `is_csrf_token` takes both forms.

    Returns:
        128 hexadecimal characters.

    Raises:
        ResponseStarted: As `csrf_token`.
    """
    token = bytes.fromhex(csrf_token(session))
    mask = token_bytes(len(token))
    return mask.hex() + bytes(a ^ b for a, b in zip(mask, token, strict=True)).hex()


def _unmasked(given: str) -> str:
    try:
        both = bytes.fromhex(given)
    except ValueError:
        return ""
    half = len(both) // 2
    return bytes(a ^ b for a, b in zip(both[:half], both[half:], strict=False)).hex()


def cross_origin(
    trusted: Sequence[str] = (), bypass: Sequence[str] = (), *, refused: Any = None
) -> "CrossOrigin":
    """
    Return a middleware that refuses unsafe requests and WebSockets from pages of other origins.

    It looks at Sec-Fetch-Site, which every browser sends since 2023, and else compares Origin with
    Host. Requests of other programs, which send neither, pass.

    Args:
        trusted: Origins that may send requests: `("https://pay.example",)`.
        bypass: Beginnings of paths that are not checked, such as `("/hooks/",)`.
        refused: An application of the same kind, ASGI or WSGI, that answers instead; None: 403.

    Returns:
        `cross_origin()(app)` wraps an ASGI application, `cross_origin().wsgi(app)` a WSGI
        application. It is a middleware for `Router` and for `add_middleware`, too.

    Raises:
        ConfigurationError: An origin or a path is none.
    """
    return CrossOrigin(rules_of(trusted, bypass), refused)


def csrf(
    *,
    header: str = "x-csrf-token",
    field: str = "csrf",
    bypass: Sequence[str] = (),
    refused: Any = None,
) -> "Csrf":
    """
    Return a middleware that asks for the token of the session with each unsafe request.

    Put it inside of `session()`. The token comes in a header, or in a field of the form: under ASGI
    of the form that `form_data()` read, under WSGI of an urlencoded one. Where no session is read,
    because `skip=` of `session()` says so, no token counts.

    Args:
        header: The header that may carry the token.
        field: The field of a form that may carry it.
        bypass: Beginnings of paths that are not checked, such as `("/hooks/",)`.
        refused: An application of the same kind, ASGI or WSGI, that answers instead; None: 403.

    Returns:
        `csrf()(app)` wraps an ASGI application, `csrf().wsgi(app)` a WSGI application. aiohttp has
        `coatcheck.frameworks.aiohttp.csrf`.

    Raises:
        ConfigurationError: A name is empty, or a path is none.
    """
    for name, given in (("header", header), ("field", field)):
        if not isinstance(given, str) or not given:
            raise ConfigurationError(f"{name} must be a text, got {given!r}")
    return Csrf(rules_of((), bypass), header.lower(), field, refused)


class CrossOrigin:
    """The middleware that `cross_origin()` returns."""

    def __init__(self, rules: Rules, refused: Any) -> None:
        self._rules, self._refused = rules, refused

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """Return the ASGI application *app*, with the check."""

        async def checked(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] in ("http", "websocket") and self._rules.refuses(_facts_of(scope)):
                await _refuse(self._refused, scope, receive, send)
                return
            await app(scope, receive, send)

        return checked

    def wsgi(self, app: WSGIApp) -> WSGIApp:
        """Return the WSGI application *app*, with the check."""

        def checked(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            if self._rules.refuses(_facts_in(environ)):
                return (self._refused or _forbidden)(environ, start_response)
            return app(environ, start_response)

        return checked


class Csrf:
    """The middleware that `csrf()` returns."""

    def __init__(self, rules: Rules, header: str, field: str, refused: Any) -> None:
        self._rules, self._refused = rules, refused
        self.header, self.field = header, field

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """Return the ASGI application *app*, with the check."""

        async def checked(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and not self.passes(scope["method"], scope["path"]):
                given = _header(scope, self.header) or _form_value(scope, self.field)
                if not is_held(Context(scope).get(Session), given):
                    await _refuse(self._refused, scope, receive, send)
                    return
            await app(scope, receive, send)

        return checked

    def wsgi(self, app: WSGIApp) -> WSGIApp:
        """Return the WSGI application *app*, with the check."""
        name = f"HTTP_{self.header.upper().replace('-', '_')}"

        def checked(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            if not self.passes(environ["REQUEST_METHOD"], path_of(environ)):
                given = environ.get(name) or _field_in(environ, self.field)
                if not is_held(Context(environ).get(Session), given):
                    return (self._refused or _forbidden)(environ, start_response)
            return app(environ, start_response)

        return checked

    def passes(self, method: str, path: str) -> bool:
        """Tell whether a request needs no token: it is safe, or of a path that is not checked."""
        return method in SAFE or (bool(self._rules.bypass) and path.startswith(self._rules.bypass))


def is_held(session: Session, given: object) -> bool:
    """Tell whether a token is that of the session; where no session is read, there is none."""
    return not isinstance(session._draft, Skipped) and is_csrf_token(session, given)


def _facts_of(scope: Scope) -> Facts:
    return Facts(
        method=scope.get("method", ""),
        path=scope.get("path", ""),
        host=_header(scope, "host"),
        origin=_header(scope, "origin"),
        site=_header(scope, "sec-fetch-site"),
        websocket=scope["type"] == "websocket",
    )


def _facts_in(environ: Environ) -> Facts:
    return Facts(
        method=environ.get("REQUEST_METHOD", ""),
        path=path_of(environ),
        host=environ.get("HTTP_HOST", ""),
        origin=environ.get("HTTP_ORIGIN", ""),
        site=environ.get("HTTP_SEC_FETCH_SITE", ""),
        websocket=environ.get("HTTP_UPGRADE", "").lower() == "websocket",
    )


def _header(scope: Scope, name: str) -> str:
    wanted = name.encode()
    found = (value for field, value in scope["headers"] if field.lower() == wanted)
    return next(found, b"").decode("latin-1")


def _form_value(scope: Scope, field: str) -> object:
    """Return a field of the form that `form_data()` read, or None."""
    datastructures = sys.modules.get("starlette.datastructures")
    if datastructures is None or not Context(scope).has(datastructures.FormData):
        return None
    return Context(scope).get(datastructures.FormData).get(field)


def _field_in(environ: Environ, field: str) -> str | None:
    """Return a field of an urlencoded form; the application reads the form again."""
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    length = environ.get("CONTENT_LENGTH") or "0"
    if kind != _FORM or not length.isdecimal() or int(length) > FORM_LIMIT:
        return None
    body = environ["wsgi.input"].read(int(length))
    environ["wsgi.input"] = BytesIO(body)
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=1000)
    except ValueError:
        return None
    return next(iter(fields.get(field, ())), None)


REFUSAL = b"This request came from another site, or its form is too old. Load the page again.\n"


async def _refuse(refused: ASGIApp | None, scope: Scope, receive: Receive, send: Send) -> None:
    if refused is not None:
        await refused(scope, receive, send)
    elif scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})  # policy violation (RFC 6455, 7.4.1)
    else:
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(REFUSAL)).encode()),
        ]
        await send({"type": "http.response.start", "status": 403, "headers": headers})
        await send({"type": "http.response.body", "body": REFUSAL})


def _forbidden(_: Environ, start_response: StartResponse) -> Iterable[bytes]:
    status = HTTPStatus.FORBIDDEN
    start_response(
        f"{status.value} {status.phrase}",
        [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(REFUSAL)))],
    )
    return [REFUSAL]


def _value_to_come(session: Session) -> bytes:
    """Return the value that the session has when this request is saved."""
    draft, id = session._own, session.id
    begins_anew = type(draft.origin) is Moved and draft.contents.csrf  # with what a move gave it
    if draft.found is None and not begins_anew:
        draft.contents.csrf = _made_from(id)
    return draft.contents.csrf or _made_from(id)


def _value_held(session: Session) -> bytes | None:
    """Return the value of the session that the client holds; None: it holds none."""
    issued = session.issued_id
    if issued is None:
        return None
    return session._draft.base.csrf or _made_from(issued)


def _made_from(id: str) -> bytes:
    return hmac.digest(id.encode(), b"coatcheck 1 csrf value", "sha256")[:16]


def _token(value: bytes) -> str:
    return hmac.digest(value, b"coatcheck 1 csrf token", "sha256").hex()
