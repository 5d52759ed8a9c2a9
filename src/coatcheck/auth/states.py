"""The results of authentication: the answer of a scheme, and the state that a handler reads."""

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, Protocol

from coatcheck.context import Context

Identity = Any
"""The user that a scheme recognised: the object that `verify` returned."""


@dataclass(frozen=True, slots=True)
class Success:
    """
    The answer of a scheme that recognised the user of the request.

    Args:
        identity: The user: the object that `verify` returned.
    """

    identity: Identity = field(repr=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """
    The answer of a scheme that refuses the request, because its credential is not valid.

    Args:
        message: What is wrong, in words that the client may read.
        challenge: The challenge for WWW-Authenticate; None: the scheme's own.
        code: What is wrong, for programs, such as "invalid_token"; None: there is no code.
    """

    message: str
    challenge: str | None = None
    code: str | None = None


Answer = Success | Failure | None
"""The answer of a scheme; None: the request has no credential for it, so the next one is tried."""


class Scheme(Protocol):
    """
    One way to recognise the user of a request: the members that a scheme of your own needs.

    A scheme reads what a client sent. Malformed input is a `Failure`, never an exception.
    """

    @property
    def name(self) -> str:
        """The value of `Auth.method` if this scheme decided: "bearer"."""

    @property
    def challenge(self) -> str:
        """The challenge for WWW-Authenticate in a 401 (RFC 9110, 11.6.1): `Bearer realm="api"`."""

    def authenticate(self, context: Context, /) -> Awaitable[Answer]:
        """
        Return the answer of this scheme for a request.

        Returns:
            `Success` if it recognised the user, `Failure` to refuse the request, None to leave the
            request to the next scheme.
        """


@dataclass(frozen=True, slots=True)
class Auth:
    """
    The user of this request: `context.get(Auth)`.

    Args:
        ok: Whether a scheme recognised the user.
        identity: The user: the object that `verify` returned. None unless `ok`.
        method: The name of the scheme that recognised or refused the request: "session", "bearer",
            "api-key". None: no scheme found a credential.
        error: Why a scheme refused the request, in words that the client may read. None: no scheme
            refused it.
        challenges: The challenges for WWW-Authenticate in a 401.
        code: The code of the refusal, such as "invalid_token". None: the scheme gave none.
    """

    ok: bool
    identity: Identity = field(default=None, repr=False)
    method: str | None = None
    error: str | None = None
    challenges: tuple[str, ...] = ()
    code: str | None = None
