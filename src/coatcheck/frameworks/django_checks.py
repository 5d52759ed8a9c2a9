"""
Django's system check for our sessions: `manage.py check` tells which setting is wrong.

    INSTALLED_APPS = [..., "coatcheck.frameworks.django_checks"]

The engine registers it as well, but Django's commands do not import an engine.
"""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.checks import Error, Tags, register
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from coatcheck.frameworks.django_bound import device
from coatcheck.frameworks.django_options import SETTING, Misconfigured, options
from coatcheck.frameworks.django_storage import forms

MIDDLEWARE = "coatcheck.frameworks.django.SessionMiddleware"


@register(Tags.security, "coatcheck")  # type: ignore[untyped-decorator] # Django has no types
def check_sessions(app_configs: object = None, **_: object) -> list[Any]:  # noqa: ARG001 - Django's
    """Return what is wrong with `COATCHECK_STORAGE`, `COATCHECK_OPTIONS` and the middleware."""
    wrong = _wrong((forms, "coatcheck.E001"), (options, "coatcheck.E002"))
    for check, id in ((device, "coatcheck.E004"), (check_binding, "coatcheck.E005")):
        wrong = wrong or _wrong((check, id))
    if not wrong and options().rotate is not None and not _has_middleware():
        wrong.append(
            Error(
                "COATCHECK_OPTIONS['rotate'] has no effect under Django's own session middleware",
                hint=f"in MIDDLEWARE, write {MIDDLEWARE!r} in its place, which sends the new key",
                id="coatcheck.E003",
            )
        )
    return wrong


def check_binding() -> None:
    """
    Check that the middleware is there which binds sessions to a device.

    Raises:
        ImproperlyConfigured: Sessions are to be bound, and nothing would do it.
    """
    if options().bound is not None and not _has_middleware():
        raise Misconfigured(
            f"{SETTING}['bound'] has no effect under Django's own session middleware",
            f"in MIDDLEWARE, write {MIDDLEWARE!r} in its place, which talks to the browser",
        )


def _wrong(*checks: tuple[Callable[[], object], str]) -> list[Any]:
    """Return what checks say is wrong, each under its id."""
    found = []
    for check, id in checks:
        try:
            check()
        except Misconfigured as error:
            found.append(Error(error.wrong, hint=error.hint, id=id))
    return found


def _has_middleware() -> bool:
    """Tell whether the settings name our middleware, or a subclass of it."""
    return any(map(_is_ours, settings.MIDDLEWARE))


def _is_ours(path: str) -> bool:
    try:
        named = import_string(path)
        return isinstance(named, type) and issubclass(named, import_string(MIDDLEWARE))
    except (ImportError, ImproperlyConfigured):
        return False  # Django tells of it when it loads the middleware
