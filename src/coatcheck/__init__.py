"""
HTTP sessions: a sealed cookie in the browser, the data where you choose, no change ever lost.

    import coatcheck
    from coatcheck import Cookie
    from coatcheck.storage import SqliteStorage

    cookie = Cookie("__session", secrets=[os.environ["SESSION_SECRET"]], max_age=7 * 24 * 3600)
    storage = SqliteStorage("sessions/db")
    app = coatcheck.session(cookie, storage)(app)                    # any ASGI application
    app.wsgi_app = coatcheck.session(cookie, storage).wsgi(app.wsgi_app)  # or any WSGI one
"""

from coatcheck._cookie.cookie import Cookie
from coatcheck._model.schema import Schema
from coatcheck._request.device_label import device_label
from coatcheck._request.events import Event, user_digest
from coatcheck._session.session import Session
from coatcheck._session.sign_in import SignIn
from coatcheck.bound import Bound, require_bound
from coatcheck.context import Context
from coatcheck.errors import (
    BackendError,
    CoatcheckWarning,
    ConfigurationError,
    CookieTooLarge,
    RecordTooLarge,
    ResponseStarted,
    SessionConflict,
    SessionDestroyed,
    SessionError,
    UnstorableValue,
)
from coatcheck.middleware import Sessions, session
from coatcheck.storage.protocol import SessionStorage
from coatcheck.users import Users, UserSession

__version__ = "0.1.0"

__all__ = [
    "BackendError",
    "Bound",
    "CoatcheckWarning",
    "ConfigurationError",
    "Context",
    "Cookie",
    "CookieTooLarge",
    "Event",
    "RecordTooLarge",
    "ResponseStarted",
    "Schema",
    "Session",
    "SessionConflict",
    "SessionDestroyed",
    "SessionError",
    "SessionStorage",
    "Sessions",
    "SignIn",
    "UnstorableValue",
    "UserSession",
    "Users",
    "device_label",
    "require_bound",
    "session",
    "user_digest",
]


def __dir__() -> list[str]:
    """Return the public names: those in `__all__`, and the public modules imported so far."""
    return sorted({*(name for name in globals() if not name.startswith("_")), "__version__"})
