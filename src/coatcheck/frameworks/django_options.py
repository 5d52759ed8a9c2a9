"""
The setting `COATCHECK_OPTIONS`: options of the sessions beside Django's own settings.

    COATCHECK_OPTIONS = {"rotate": 3600, "lifetime": 30 * 24 * 3600}
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from coatcheck._request.adoption import Reader, checked_readers
from coatcheck._request.bound import Bound, check_bound
from coatcheck._request.events import OnEvent, check_listener
from coatcheck._request.options import check_times, check_user_key
from coatcheck.errors import ConfigurationError
from coatcheck.users import Users

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
        user_key: Where the session has the signed-in user: "_auth_user_id", as Django's `login()`
            puts it there; None: sign-ins are not told apart.
        adopts: Readers of `coatcheck.adopt` for the sessions that Django's own engines left.
        users: `Users(cookie, storage)`, of the storage in `COATCHECK_STORAGE`: sign-ins are listed.
            It needs `user_key`.
        bound: `Bound(...)`: sessions are bound to the device of the sign-in. It needs `user_key`,
            and our `SessionMiddleware`.
        on_event: Called with an `Event` for what happens to a session.
    """

    lifetime: float | None = None
    rotate: float | None = None
    user_key: str | None = None
    adopts: Sequence[Reader] = ()
    users: Users | None = None
    bound: Bound | None = None
    on_event: OnEvent | None = None


@lru_cache(maxsize=1)
def options() -> DjangoOptions:
    """
    Return the options that the settings name.

    Raises:
        ImproperlyConfigured: One is not known, or out of its range.
    """
    given = getattr(settings, SETTING, {})
    *others, last = map(repr, DjangoOptions._fields)
    known = f"{', '.join(others)} and {last}"
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
    chosen = DjangoOptions(**given)
    try:
        seconds = check_times(lifetime=chosen.lifetime, rotate=chosen.rotate)
        check_user_key(chosen.user_key)
        check_readers(chosen.adopts)
        check_users(chosen)
        check_binding(chosen)
        if chosen.on_event is not None:
            check_listener(chosen.on_event)
    except ConfigurationError as error:
        raise Misconfigured(f"{SETTING} cannot be used", str(error)) from error
    return chosen._replace(lifetime=seconds.lifetime, rotate=seconds.rotate)


def check_users(chosen: DjangoOptions) -> None:
    """
    Check what lists the sessions of users.

    Raises:
        ConfigurationError: It is no `Users`, or nothing tells of a user.
    """
    if chosen.users is None:
        return
    if not isinstance(chosen.users, Users):
        got = type(chosen.users).__name__
        raise ConfigurationError(f"users must be Users(cookie, storage), got a {got}")
    if chosen.user_key is None:
        raise ConfigurationError("users needs user_key, as in {'user_key': '_auth_user_id'}")


def check_binding(chosen: DjangoOptions) -> None:
    """
    Check what binds sessions to a device.

    Raises:
        ConfigurationError: It is no `Bound`, or nothing tells of a sign-in.
    """
    if chosen.bound is None:
        return
    check_bound(chosen.bound, "COATCHECK_STORAGE", on_server=True)
    if chosen.user_key is None:
        raise ConfigurationError("bound needs user_key, as in {'user_key': '_auth_user_id'}")


def check_readers(readers: Sequence[Reader]) -> None:
    """
    Check the readers of former sessions.

    Raises:
        ConfigurationError: One is none, needs `until`, or has a client that is awaited.
    """
    for reader in checked_readers(readers, leaves_markers=True) if readers else ():
        if reader.is_awaited:
            raise ConfigurationError(
                f"{reader!r} must have a plain client in Django, whose views may be plain, too; "
                "got an awaited one"
            )


def _forget(*, setting: str, **_: object) -> None:
    """Take the new options when a test overrides the settings."""
    if setting == SETTING:
        options.cache_clear()


setting_changed.connect(_forget, dispatch_uid="coatcheck.options")
