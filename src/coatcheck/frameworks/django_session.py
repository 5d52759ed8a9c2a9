"""
A session for Django: its owner, terms, expiry and changes, in terms of coatcheck's own.

Django's cookie carries a key without a seal. So the owner of a record is a digest that depends on
`SECRET_KEY`: another project on the same server, whose cookie has the same name, finds no session
under a key of this one. Records that were written under a key of `SECRET_KEY_FALLBACKS` are read,
too.
"""

from datetime import datetime
from functools import lru_cache

from django.conf import settings
from django.utils.crypto import salted_hmac
from msgspec.structs import replace

from coatcheck._cookie.pins import Pins
from coatcheck._request.events import Reporter
from coatcheck._session.draft import Lost
from coatcheck._session.record import LONGEST, Terms
from coatcheck._session.roster_plans import Rosters
from coatcheck._session.session import Session
from coatcheck.errors import ConfigurationError
from coatcheck.frameworks.django_options import DjangoOptions, Misconfigured, options
from coatcheck.frameworks.django_storage import forms
from coatcheck.users import Users


def terms(idle: float | None = None) -> Terms:
    """
    Return how long a session lives, empty or not.

    Args:
        idle: Seconds, counted from each save; None: as the settings say.
    """
    chosen = options()
    return Terms(
        owner=_owner(settings.SESSION_COOKIE_NAME, settings.SECRET_KEY),
        idle=min(float(settings.SESSION_COOKIE_AGE) if idle is None else idle, LONGEST),
        lifetime=chosen.lifetime,
        rotate=chosen.rotate,
        refresh=0,
        clock=forms().space.clock,
        pins=_pins(secrets()),
        keeps_empty=True,
        user_key=chosen.user_key,
        reports=chosen.on_event is not None,
        bound="no" if chosen.bound is None else "required" if chosen.bound.required else "offered",
        rosters=_rosters(chosen) if chosen.users else None,
    )


def report(session: Session) -> None:
    """Tell the listener of `COATCHECK_OPTIONS` what happened to a session."""
    if teller := reporter():
        teller.report(session._draft)


def reporter() -> Reporter | None:
    """Return what tells the listener of `COATCHECK_OPTIONS`; None: there is none."""
    listener = options().on_event
    return None if listener is None else Reporter(secrets()[0], listener, forms().space.clock)


def secrets() -> tuple[str, ...]:
    """Return the secrets of the project, the one of today first."""
    given = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return tuple(text if isinstance(text, str) else text.decode("latin-1") for text in given)


def users() -> Users:
    """
    Return the `Users` of `COATCHECK_OPTIONS`, for views, commands and workers of the project.

    Raises:
        ImproperlyConfigured: The settings have none, or of another storage.
    """
    found = options().users
    if found is None:
        raise Misconfigured("COATCHECK_OPTIONS has no users", "set it to Users(cookie, storage)")
    terms()  # under the project's own owner
    return found


def _rosters(chosen: DjangoOptions) -> Rosters:
    """Return where the sessions of users are listed: under the owner that the project's have."""
    assert chosen.users is not None  # noqa: S101 - the caller has looked
    owners = (_owner(settings.SESSION_COOKIE_NAME, settings.SECRET_KEY), *former_owners())
    if chosen.users._rosters.owners == owners:
        return chosen.users._rosters
    try:
        found = chosen.users._rosters_of(chosen.users._cookie, forms().storage, chosen.lifetime)
    except ConfigurationError as error:
        raise Misconfigured("COATCHECK_OPTIONS['users'] cannot be used", str(error)) from error
    chosen.users._rosters = replace(found, owners=owners)
    return chosen.users._rosters


def former_owners() -> list[bytes]:
    """Return the owners of records that were written before `SECRET_KEY` was changed."""
    name = settings.SESSION_COOKIE_NAME
    return [_owner(name, secret) for secret in settings.SECRET_KEY_FALLBACKS]


@lru_cache(maxsize=16)
def _owner(cookie_name: str, secret: str | bytes) -> bytes:
    """Return the mark of a project's records: 8 bytes, from which no secret can be learned."""
    mark: bytes = salted_hmac("coatcheck.owner", cookie_name, secret, algorithm="sha256").digest()
    return mark[:8]


@lru_cache(maxsize=4)
def _pins(secrets: tuple[str, ...]) -> Pins:
    """Return what keeps the pins of sign-ins, under the project's secrets."""
    return Pins(secrets)


def idle_of(session: Session, now: float) -> float:
    """Return the seconds that a session lives from now on, as `set_expiry` left it."""
    expiry = session.get("_session_expiry")
    if isinstance(expiry, str):
        expiry = datetime.fromisoformat(expiry)
    if isinstance(expiry, datetime):
        return expiry.timestamp() - now
    return float(expiry or settings.SESSION_COOKIE_AGE)


def steps(session: Session | None) -> int:
    """Return how many changes wait to be saved."""
    if session is None:
        return 0
    session._draft.note_changes_in_place()
    return len(session._draft.log)


def is_handed(session: Session) -> bool:
    """Tell whether the browser's key is older than the session's, which a rotation renewed."""
    found = session._draft.found
    return found is not None and found.handed


def is_lost(session: Session) -> bool:
    """Tell whether a save found that the session was ended, or got another key."""
    return type(session._draft.origin) is Lost
