"""
CSRF tokens: a token proves that a form came from a page of this application.

    token = csrf_token(session)            put it into the form, as a hidden field
    is_csrf_token(session, form["csrf"])   if this is False, answer 403

The token is an HMAC, keyed with the id of the session. So the session stores no token, pages that
load at the same time get the same token, and a new id or a new session makes a new token. The id
cannot be computed from the token.

Source: OWASP Cross-Site Request Forgery Prevention, "HMAC-based token".
"""

import hmac

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
        session[_MARK] = True  # the id of a session that holds nothing is not kept
    return _token(session.id)


def is_csrf_token(session: Session, given: object) -> bool:
    """
    Tell whether *given* is the token of *session*.

    Args:
        given: What the client sent, of any type; None if the form has no such field.
    """
    issued = session.issued_id
    if issued is None or not isinstance(given, str):
        return False
    return hmac.compare_digest(_token(issued).encode(), given.encode(errors="replace"))


def _token(id: str) -> str:
    return hmac.digest(id.encode(), b"coatcheck 1 csrf token", "sha256").hex()
