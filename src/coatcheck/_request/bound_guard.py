"""
The answer to a request for what only a session that is bound to a device may do.

Pure: values in, values out.
"""

from coatcheck._request.visit import Answer
from coatcheck._session.binding import UNDER_WAY, binding_of
from coatcheck._session.session import Session
from coatcheck.errors import ConfigurationError

SAYS = "This page needs a session that is bound to this device."

_BODY = f"{SAYS}\n".encode()

_HEADERS = (("content-type", "text/plain; charset=utf-8"), ("content-length", str(len(_BODY))))


def refusal(session: object, method: str) -> Answer | None:
    """
    Return the answer to a request that may not pass; None: it may.

    Args:
        method: Such as "GET"; "" at a WebSocket.

    Raises:
        ConfigurationError: There is no session, or sessions are not bound.
    """
    if not isinstance(session, Session) or session._draft.terms.bound == "no":
        raise ConfigurationError(
            "require_bound() must run inside of sessions with bound=Bound(...), and there are none"
        )
    if session._draft.terms.bound == "offered" or session.is_bound:
        return None
    again = (("refresh", "1"),) if method == "GET" and _may_register(session) else ()
    return Answer(403, (*_HEADERS, *again), _BODY)


def reloads(answer: Answer) -> dict[str, str]:
    """Return the header by which a refused page loads itself again, if it does."""
    return {name: value for name, value in answer.headers if name == "refresh"}


def _may_register(session: Session) -> bool:
    """Tell whether the browser may be about to bind the session."""
    found = session._draft.found
    there = binding_of(found.record.body) if found else None
    return found is not None and there is not None and found.read_at < there.at + UNDER_WAY
