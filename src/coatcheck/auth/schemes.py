"""
The three ways to prove who makes a request: a session, a bearer token, an API key.

Each takes a `verify` of the application, plain or `async def`, that returns an identity or None. A
plain one runs in a worker thread, since it may ask a database. It gets text only of the form that
such a credential can have, so no byte that a client sends makes it raise.

Compare credentials in constant time, best by looking up a digest of what came:

    ApiKeyScheme(verify=lambda key: users_by_key.get(sha256(key.encode()).hexdigest()))
"""

import re
from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers

from coatcheck._request.concurrency import call
from coatcheck._session.session import Session, Value
from coatcheck.auth.states import Answer, Failure, Identity, Success
from coatcheck.context import Context
from coatcheck.errors import ConfigurationError

Verify = Callable[[str], Identity | None | Awaitable[Identity | None]]
"""Tells whose credential a text is; None: nobody's."""

_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # RFC 6750, 2.1: b64token
_VISIBLE = re.compile(r"[!-~]+")
_FIELD_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, 5.1
_QUOTABLE = re.compile(r"[ !#-\[\]-~]*")  # what stands in quotes unescaped: RFC 9110, 5.6.4


class SessionScheme:
    """
    Recognise who signed in earlier by what the session remembers.

    Args:
        read: Returns what the sign-in kept, or None for a visitor: `lambda s: s.get("user_id")`.
        verify: Returns whom that stands for, or None: the user is gone, or was locked out.
        invalidate: Takes a refused sign-in out of the session; None: `Session.clear`, so that
            nothing of a refused user is left to whoever comes next.
    """

    name = "session"
    challenge = "Session"  # a 401 must name some scheme; browsers pass over one they do not know

    def __init__(
        self,
        *,
        read: Callable[[Session], Value | None],
        verify: Callable[[Value], Identity | None | Awaitable[Identity | None]],
        invalidate: Callable[[Session], object] | None = None,
    ) -> None:
        self._read = read
        self._verify = verify
        self._invalidate = invalidate or Session.clear

    async def authenticate(self, context: Context) -> Answer:
        """
        Answer by the session.

        Raises:
            ConfigurationError: The request has no session yet.
        """
        if not context.has(Session):
            raise ConfigurationError(
                "auth() came before session(), and its SessionScheme found no session: the right "
                "order is middleware=[session(cookie, storage), auth(schemes=[scheme])]"
            )
        session = context.get(Session)
        value = self._read(session)
        if value is None:
            return None
        identity = await call(self._verify, value)
        if identity is not None:
            return Success(identity)
        if context.scope["type"] == "http":  # a WebSocket that is refused takes no cookie along
            self._invalidate(session)
        return Failure("the session's sign-in is no longer valid")


class BearerScheme:
    """
    Recognise a bearer token: `Authorization: Bearer mF_9.B5f-4.1JqM`.

    Args:
        realm: What the token is for, told to clients that send none.

    Source: RFC 6750, 2.1 (the header) and 3 (the challenge).
    """

    name = "bearer"

    def __init__(self, *, verify: Verify, realm: str = "api") -> None:
        self._verify = verify
        self.challenge = f'Bearer realm="{_checked(_QUOTABLE, realm, "realm")}"'

    async def authenticate(self, context: Context) -> Answer:
        """Answer by the Authorization header; another scheme's credentials are left to it."""
        given = Headers(scope=context.scope).getlist("authorization")
        if not any(_is_bearer(credentials) for credentials in given):
            return None
        token = given[0][len("bearer") :].strip(" ")
        if len(given) > 1 or not _TOKEN.fullmatch(token):
            return self._refuse("the token is malformed")
        identity = await call(self._verify, token)
        return self._refuse("the token is not valid") if identity is None else Success(identity)

    def _refuse(self, message: str) -> Failure:
        challenge = f'{self.challenge}, error="invalid_token", error_description="{message}"'
        return Failure(message, challenge)


class ApiKeyScheme:
    """
    Recognise an API key in a header of its own: `X-API-Key: 5f2c…`.

    Args:
        header: The header's name.
    """

    name = "api-key"

    def __init__(self, *, verify: Verify, header: str = "X-API-Key") -> None:
        self._verify = verify
        self._header = _checked(_FIELD_NAME, header, "header")
        self.challenge = f'ApiKey header="{header}"'

    async def authenticate(self, context: Context) -> Answer:
        """Answer by the header, if it is there."""
        given = Headers(scope=context.scope).getlist(self._header)
        if not given:
            return None
        if len(given) > 1 or not _VISIBLE.fullmatch(given[0]):
            return Failure("the API key is malformed")
        identity = await call(self._verify, given[0])
        return Failure("the API key is not valid") if identity is None else Success(identity)


def _is_bearer(credentials: str) -> bool:
    """Tell whose scheme it is: its name is compared without case (RFC 9110, 11.1)."""
    return credentials.partition(" ")[0].lower() == "bearer"


def _checked(grammar: re.Pattern[str], text: str, name: str) -> str:
    if not grammar.fullmatch(text):
        raise ConfigurationError(f"{name}={text!r} cannot stand in a header")
    return text
