"""
The setting `COATCHECK_OPTIONS`: options of the sessions beside Django's own settings.

    COATCHECK_OPTIONS = {"rotate": 3600, "lifetime": 30 * 24 * 3600}
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from coatcheck._request.options import check_times
from coatcheck.errors import ConfigurationError

SETTING = "COATCHECK_OPTIONS"


class Misconfigured(ImproperlyConfigured):  # type: ignore[misc] # Django has no types
    """
    A setting that cannot be used.

    Args:
        wrong: What is wrong with it.
        hint: What to write instead.
    """

    def __init__(self, wrong: str, hint: str) -> None:
        super().__init__(f"{wrong}: {hint}")
        self.wrong, self.hint = wrong, hint


class DjangoOptions(NamedTuple):
    """
    The options that Django has no setting for.

    Attributes:
        lifetime: Seconds that any session lives, used or not; None: no limit.
        rotate: Seconds after which the key of a session in use is renewed; None: never.
    """

    lifetime: float | None = None
    rotate: float | None = None


@lru_cache(maxsize=1)
def options() -> DjangoOptions:
    """
    Return the options that the settings name.

    Raises:
        ImproperlyConfigured: One is not known, or out of its range.
    """
    given = getattr(settings, SETTING, {})
    known = " and ".join(map(repr, DjangoOptions._fields))
    if not isinstance(given, Mapping):
        raise Misconfigured(
            f"{SETTING} is a {type(given).__name__}", f"set it to a dict of {known}"
        )
    for name in given:
        if name not in DjangoOptions._fields:
            raise Misconfigured(
                f"{SETTING} has the key {name!r}",
                f"it takes {known}; everything else is set by Django's own settings, SESSION_…",
            )
    try:
        check_times(**given)
    except (ConfigurationError, TypeError) as error:
        raise Misconfigured(f"{SETTING} cannot be used", str(error)) from error
    return DjangoOptions(**given)


def _forget(*, setting: str, **_: object) -> None:
    """Take the new options when a test overrides the settings."""
    if setting == SETTING:
        options.cache_clear()


setting_changed.connect(_forget, dispatch_uid="coatcheck.options")
