"""
A token that proves a form came from a page of ours: it is bound to the session it was made for.

    token = csrf_token(session)            into the form, as a hidden field
    is_csrf_token(session, form["csrf"])   else answer 403

The token is an HMAC keyed with the session's id. So there is nothing to keep, pages that load at
the same time agree on it, a new id makes a new token, and the token ends with the session. It does
not lead back to the id.

Source: OWASP Cross-Site Request Forgery Prevention, "HMAC-based token".
"""

import hmac

from coatcheck._session.session import Session

_MARK = "_csrf"


def csrf_token(session: Session) -> str:
    """Return the token for the forms of a page: 64 characters. A new session is kept then."""
    if session.is_new:
        session[_MARK] = True  # the id of a session that holds nothing is not kept
    return _token(session.id)


def is_csrf_token(session: Session, given: object) -> bool:
    """Tell whether the client that holds *session* got *given*, which may be anything, from us."""
    issued = session.issued_id
    if issued is None or not isinstance(given, str):
        return False
    return hmac.compare_digest(_token(issued).encode(), given.encode(errors="replace"))


def _token(id: str) -> str:
    return hmac.digest(id.encode(), b"coatcheck 1 csrf token", "sha256").hex()
