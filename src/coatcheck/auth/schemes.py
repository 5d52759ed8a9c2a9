"""
Three ways to recognise the user of a request: a session, a bearer token, an API key.

Each calls a function of the application, `verify`, which returns an identity or None. It may be
plain or `async def`; a plain one runs in a worker thread, because it may ask a database. It gets
only text with the form of such a credential, so unexpected bytes from a client never reach it.

Compare credentials in constant time. The simplest way is to look up a digest of the credential:

    ApiKeyScheme(verify=lambda key: users_by_key.get(sha256(key.encode()).hexdigest()))
"""

import re
from collections.abc import Awaitable, Callable
from inspect import isawaitable

from starlette.datastructures import Headers

from coatcheck._request.concurrency import call
from coatcheck._session.session import Session, Value
from coatcheck._session.sign_in import SignIn, leaving
from coatcheck.auth.states import Answer, Failure, Identity, Success
from coatcheck.context import Context
from coatcheck.errors import ConfigurationError

Verify = Callable[[str], Identity | None | Awaitable[Identity | None]]
"""A function that returns the identity for a credential, or None if there is none."""

_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # RFC 6750, 2.1: b64token
_VISIBLE = re.compile(r"[!-~]+")
_HTTP_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, 5.6.2
_QUOTABLE = re.compile(r"[ !#-\[\]-~]*")  # what stands in quotes unescaped: RFC 9110, 5.6.4


class SessionScheme:
    """
    Recognise a user by the sign-in of the session: `session.sign_in(user)`.

        SessionScheme(verify=users.get, pin=lambda user: user.password_hash)

    Args:
        verify: Returns the identity for the user, or None if the user was deleted or locked out.
            While somebody acts, it is asked for the actor, too. None: the user's text is the
            identity.
        pin: Returns, for an identity, the text that was given to `sign_in(pin=)`, such as the hash
            of the password. A sign-in with another pin, or without one, is refused. While somebody
            acts, it is the actor's. If it returns None, that user's sign-ins need no pin.
        read: Returns the value that stands for the user, or None for a visitor, in an application
            that keeps it under a key: `lambda session: session.get("user_id")`. Such an
            application has no pins. None: `session.signed_in`.
        invalidate: Called with the session when the user was refused; None: everything is removed
            from the session, the user too, so that the next user of this browser finds nothing of
            the refused user.
        name: The value of `Auth.method`.
        message: The value of `Auth.error` if the user was refused.
        code: The value of `Auth.code` then.

    Raises:
        ConfigurationError: Both `read` and `pin` are given.
    """

    challenge = "Session"  # a 401 must name some scheme; browsers pass over one they do not know

    def __init__(
        self,
        *,
        verify: Callable[[Value], Identity | None | Awaitable[Identity | None]] | None = None,
        pin: Callable[[Identity], str | None | Awaitable[str | None]] | None = None,
        read: Callable[[Session], Value | None] | None = None,
        invalidate: Callable[[Session], object] | None = None,
        name: str = "session",
        message: str = "the session's sign-in is no longer valid",
        code: str | None = None,
    ) -> None:
        if read is not None and pin is not None:
            raise ConfigurationError(
                "SessionScheme must have pin= or read=, not both: a pin belongs to sign_in()"
            )
        self.name = name
        self._refusal = Failure(message, code=code)
        self._read = read
        self._verify = verify
        self._pin = pin
        self._invalidate = invalidate or _take_away

    async def authenticate(self, context: Context) -> Answer:
        """
        Return the answer of this scheme for a request.

        Raises:
            ConfigurationError: The request has no session: `session()` must run before.
        """
        if not context.has(Session):
            raise ConfigurationError(
                "auth() with a SessionScheme must run after session(): write "
                "middleware=[session(cookie, storage), auth(schemes=[scheme])]"
            )
        session = context.get(Session)
        signed_in = None if self._read else session.signed_in
        value = self._read(session) if self._read else signed_in and signed_in.user
        if value is None:
            return None
        identity = await self._identity(value)
        if identity is not None and (signed_in is None or await self._holds(signed_in, identity)):
            return Success(identity)
        if context.scope["type"] == "http":  # a WebSocket that is refused takes no cookie along
            self._invalidate(session)
        return self._refusal

    async def _identity(self, value: Value) -> Identity | None:
        return value if self._verify is None else await call(self._verify, value)

    async def _holds(self, signed_in: SignIn, identity: Identity) -> bool:
        """Tell whether the account of the session may go on: while somebody acts, the actor's."""
        if signed_in.actor is not None:
            identity = await self._identity(signed_in.actor)
        if identity is None or self._pin is None:
            return identity is not None
        pin = self._pin(identity)
        if isawaitable(pin):
            pin = await pin
        return pin is None or signed_in.holds(pin)


def _take_away(session: Session) -> None:
    """Remove everything from a session, its user too."""
    signed_in = session.signed_in
    session.clear()
    if signed_in is not None:
        session._own.move(leaving(signed_in.user))


class BearerScheme:
    r"""
    Recognise a user by a bearer token: `Authorization: Bearer mF_9.B5f-4.1JqM`.

        BearerScheme(verify=user_of, token=r"\d+\|\w+")  # "1|Zk3b", as Sanctum makes them
        BearerScheme(verify=user_of, scheme="Token", token=r"[!-~]+")

    Args:
        verify: Returns the identity for a token, or None if the token is not valid.
        realm: The name of the protected area, which a 401 tells the client.
        token: A regular expression for the whole token, which is visible ASCII in any case; None:
            letters, digits and "-._~+/", then any number of "=", as RFC 6750 has it.
        scheme: The word before the token, compared without case.
        header: The name of the header.
        name: The value of `Auth.method`.
        message: The value of `Auth.error`, and of "error_description" in a 401, if `verify`
            returned None.
        code: The value of `Auth.code`, and of "error" in a 401, if the token is malformed or
            `verify` returned None.

    Raises:
        ConfigurationError: *realm*, *message*, *code*, *scheme* or *header* holds a character that
            cannot be in a header, or *token* is no regular expression.

    Source: RFC 6750, 2.1 (the header) and 3 (the challenge).
    """

    def __init__(
        self,
        *,
        verify: Verify,
        realm: str = "api",
        token: str | re.Pattern[str] | None = None,
        scheme: str = "Bearer",
        header: str = "Authorization",
        name: str = "bearer",
        message: str = "the token is not valid",
        code: str = "invalid_token",
    ) -> None:
        self._verify = verify
        self._token = _TOKEN if token is None else _compiled(token)
        self._scheme = _checked(_HTTP_TOKEN, scheme, "scheme")
        self._header = _checked(_HTTP_TOKEN, header, "header")
        self._message = _checked(_QUOTABLE, message, "message")
        self._code = _checked(_QUOTABLE, code, "code")
        self.name = name
        self.challenge = f'{scheme} realm="{_checked(_QUOTABLE, realm, "realm")}"'

    async def authenticate(self, context: Context) -> Answer:
        """Return the answer of this scheme; None if the header is missing or of another scheme."""
        given = Headers(scope=context.scope).getlist(self._header)
        if not any(map(self._is_ours, given)):
            return None
        token = given[0][len(self._scheme) :].strip(" ")
        if len(given) > 1 or not (_VISIBLE.fullmatch(token) and self._token.fullmatch(token)):
            return self._refuse("the token is malformed")
        identity = await call(self._verify, token)
        return self._refuse(self._message) if identity is None else Success(identity)

    def _is_ours(self, credentials: str) -> bool:
        """Tell whether the scheme is this one, in upper or lower case (RFC 9110, 11.1)."""
        return credentials.partition(" ")[0].lower() == self._scheme.lower()

    def _refuse(self, message: str) -> Failure:
        challenge = f'{self.challenge}, error="{self._code}", error_description="{message}"'
        return Failure(message, challenge, self._code)


class ApiKeyScheme:
    """
    Recognise a user by an API key in a header: `X-API-Key: 5f2c…`.

    Args:
        verify: Returns the identity for a key, or None if the key is not valid.
        header: The name of the header.
        name: The value of `Auth.method`.
        message: The value of `Auth.error` if `verify` returned None.
        code: The value of `Auth.code` if the key is malformed or `verify` returned None.

    Raises:
        ConfigurationError: *header* is not the name of a header.
    """

    def __init__(
        self,
        *,
        verify: Verify,
        header: str = "X-API-Key",
        name: str = "api-key",
        message: str = "the API key is not valid",
        code: str | None = None,
    ) -> None:
        self._verify = verify
        self._header = _checked(_HTTP_TOKEN, header, "header")
        self._message, self._code = message, code
        self.name = name
        self.challenge = f'ApiKey header="{header}"'

    async def authenticate(self, context: Context) -> Answer:
        """Return the answer of this scheme; None if the header is missing."""
        given = Headers(scope=context.scope).getlist(self._header)
        if not given:
            return None
        if len(given) > 1 or not _VISIBLE.fullmatch(given[0]):
            return Failure("the API key is malformed", code=self._code)
        identity = await call(self._verify, given[0])
        if identity is not None:
            return Success(identity)
        return Failure(self._message, code=self._code)


def _compiled(token: str | re.Pattern[str]) -> re.Pattern[str]:
    try:
        compiled = re.compile(token)
    except (re.error, TypeError) as wrong:
        raise ConfigurationError(f"token must be a regular expression: {wrong}") from wrong
    if not isinstance(compiled.pattern, str):
        raise ConfigurationError("token must be a regular expression of text, got one of bytes")
    return compiled


def _checked(grammar: re.Pattern[str], text: str, name: str) -> str:
    if not isinstance(text, str) or not grammar.fullmatch(text):
        raise ConfigurationError(
            f"{name} must be text that a header can hold, got {text!r}: use ASCII letters, digits "
            "and '-'"
        )
    return text
