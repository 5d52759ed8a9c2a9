"""What authentication comes to: what a scheme answers, and the state that a handler reads."""

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, Protocol

from coatcheck.context import Context

Identity = Any
"""Whom a scheme recognised: whatever the application's own `verify` returned."""


@dataclass(frozen=True, slots=True)
class Success:
    """The request proves who makes it."""

    identity: Identity = field(repr=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """
    The request claims to be somebody's, and the claim does not hold.

    Args:
        message: What is wrong, in words that may go to the client.
        challenge: For WWW-Authenticate; None: the scheme's own.
    """

    message: str
    challenge: str | None = None


Answer = Success | Failure | None
"""What a scheme says of a request; None: there is nothing in it for this scheme, try the next."""


class Scheme(Protocol):
    """
    One way to tell who makes a request.

    What it reads comes from a client and may be anything: that is a failure, never an exception.
    """

    @property
    def name(self) -> str:
        """What `Auth.method` says when this scheme decided."""

    @property
    def challenge(self) -> str:
        """What a client without credentials is told in WWW-Authenticate (RFC 9110, 11.6.1)."""

    def authenticate(self, context: Context, /) -> Awaitable[Answer]:
        """Recognise the request, refuse it, or leave it to the next scheme."""


@dataclass(frozen=True, slots=True)
class Auth:
    """
    Who makes this request: `context.get(Auth)`.

    Args:
        ok: Whether a scheme recognised the request.
        identity: Whom it recognised; None unless `ok`.
        method: The name of the scheme that recognised or refused the request; None: none did.
        error: Why it was refused; None: it was not, or it is anonymous.
        challenges: What a 401 says in WWW-Authenticate.
    """

    ok: bool
    identity: Identity = field(default=None, repr=False)
    method: str | None = None
    error: str | None = None
    challenges: tuple[str, ...] = ()
