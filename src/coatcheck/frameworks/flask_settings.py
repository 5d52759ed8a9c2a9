"""
The session cookie as Flask's and Quart's own settings describe it.

    cookie = cookie_from(app)    a Cookie as SESSION_COOKIE_*, SECRET_KEY and the lifetime say

A cookie that was made otherwise does not follow these settings. An application that sets them is
warned once, because it would believe that they hold.
"""

import sys
import warnings
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Protocol

from coatcheck._cookie.cookie import Cookie
from coatcheck.errors import CoatcheckWarning, ConfigurationError

SETTINGS = {
    "SESSION_COOKIE_NAME": "name",
    "SESSION_COOKIE_DOMAIN": "domain",
    "SESSION_COOKIE_PATH": "path",
    "SESSION_COOKIE_HTTPONLY": "httponly",
    "SESSION_COOKIE_SECURE": "secure",
    "SESSION_COOKIE_PARTITIONED": "partitioned",
    "SESSION_COOKIE_SAMESITE": "samesite",
    "PERMANENT_SESSION_LIFETIME": "max_age",
}
"""Each setting, and the attribute of a `Cookie` that it stands for."""


class App(Protocol):
    """An application of Flask or Quart."""

    @property
    def config(self) -> Mapping[str, Any]: ...
    @property
    def default_config(self) -> Mapping[str, Any]: ...


def cookie_from(app: App, *, permanent: bool = True, encrypt: bool = False) -> Cookie:
    """
    Return a cookie as the settings of an application say, which must be complete by now.

    `SECRET_KEY` seals it, `SECRET_KEY_FALLBACKS` open it. `SESSION_COOKIE_SAMESITE` that is not set
    means "Lax". A cookie that Flask itself has sealed is not read.

    Args:
        permanent: Browsers keep the cookie for PERMANENT_SESSION_LIFETIME. False: until they are
            closed, as Flask's own do without `session.permanent`.
        encrypt: See `Cookie`.

    Raises:
        ConfigurationError: The application has no SECRET_KEY, or a setting makes no sense.
    """
    if not app.config.get("SECRET_KEY"):
        raise ConfigurationError(
            "cookie_from(app) needs a SECRET_KEY, which seals the cookie: set app.secret_key "
            "before, to a text made by secrets.token_urlsafe(32)"
        )
    given = [app.config["SECRET_KEY"], *(app.config.get("SECRET_KEY_FALLBACKS") or ())]
    attributes = _attributes(app.config)
    if not permanent:
        attributes["max_age"] = None
    return Cookie(secrets=[_text(secret) for secret in given], encrypt=encrypt, **attributes)


Line = tuple[str, int]
"""A file, and a line in it."""


def line_of_caller(depth: int = 2) -> Line:
    """Return where the caller of the calling function stands."""
    frame = sys._getframe(depth)
    return frame.f_code.co_filename, frame.f_lineno


def warn_of_ignored(app: App, cookie: Cookie, line: Line) -> None:
    """
    Warn of settings that say something else than the cookie does.

    Args:
        line: Where the application made its SessionInterface: the first request comes later.
    """
    said = _attributes(app.config)
    ignored = [
        setting
        for setting, attribute in SETTINGS.items()
        if app.config.get(setting) != app.default_config.get(setting)
        and said[attribute] != getattr(cookie, attribute)
    ]
    if ignored:
        warnings.warn_explicit(
            f"these settings have no effect on the session cookie: {', '.join(ignored)}; it is the "
            "Cookie that SessionInterface was given: make that by cookie_from(app), or say there "
            "what they say",
            CoatcheckWarning,
            *line,
        )


def _attributes(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a `Cookie` by name."""
    said = {attribute: config.get(setting) for setting, attribute in SETTINGS.items()}
    lifetime, samesite = said["max_age"], said["samesite"]
    return {
        **said,
        "domain": said["domain"] or None,
        "path": said["path"] or config.get("APPLICATION_ROOT") or "/",
        "partitioned": bool(said["partitioned"]),
        "samesite": str(samesite).title() if samesite else "Lax",
        "max_age": int(lifetime.total_seconds()) if isinstance(lifetime, timedelta) else lifetime,
    }


def _text(secret: str | bytes) -> str:
    """Return a secret as text; in bytes it says the same."""
    return secret.decode("latin-1") if isinstance(secret, bytes) else secret
