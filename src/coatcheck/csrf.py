"""
CSRF tokens: a token proves that a form came from a page of this application.

    token = csrf_token(session)            put it into the form, as a hidden field
    is_csrf_token(session, form["csrf"])   if this is False, answer 403

The token is an HMAC, keyed with a random value that the session's record holds beside its data. So
pages that load at the same time agree on it, and a form that was open while the id was rotated or
the user confirmed the password still works. `regenerate_id()` and signing in change the value, and
it ends with the session. The token does not lead back to the value or to the id.

A session without a record, new or of a storage of your own, has a value that is made from its id.

Source: OWASP Cross-Site Request Forgery Prevention, "HMAC-based token".
"""

import hmac

from coatcheck._session.draft import Moved
from coatcheck._session.session import Session

__all__ = ["csrf_token", "is_csrf_token"]

_MARK = "_csrf"


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
    return hmac.compare_digest(_token(value).encode(), given.encode(errors="replace"))


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
