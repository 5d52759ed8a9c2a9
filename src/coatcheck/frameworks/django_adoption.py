"""
Sessions that Django's own engines left: the key `adopts` of `COATCHECK_OPTIONS`.

    COATCHECK_OPTIONS = {"adopts": [adopt.DjangoTable(engine, secrets=[SECRET_KEY])]}

Django's cookie keeps its name, so our key replaces the former one in the browser, and nothing else
has to be removed. A key of Django's engines is no key of ours: such a cookie is looked at only
where ours leads nowhere.
"""

import logging
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings

from coatcheck._cookie.cookie import Cookie
from coatcheck._request.adoption import Adoption, Judged, Reader
from coatcheck._session.draft import Foreign
from coatcheck._session.session import Session
from coatcheck.adopt.django import MESSAGES
from coatcheck.errors import BackendError
from coatcheck.frameworks.django_options import options
from coatcheck.frameworks.django_session import terms

_logger = logging.getLogger("coatcheck")


def adoption() -> Adoption | None:
    """Return the readers that the settings name; None: they name none."""
    readers = tuple(options().adopts)
    return _adoption_of(readers, settings.SESSION_COOKIE_NAME) if readers else None


@lru_cache(maxsize=4)
def _adoption_of(readers: tuple[Reader, ...], name: str) -> Adoption:
    return Adoption(readers, Cookie(name), terms(), leaves_markers=True)


async def answers(
    adopting: Adoption, value: str, *, in_place: bool
) -> AsyncIterator[tuple[Reader, Judged]]:
    """
    Yield what the readers find for a cookie, in order.

    Args:
        value: Of the session cookie.
        in_place: No event loop waits for this.
    """
    cookies, now = {settings.SESSION_COOKIE_NAME: value}, adopting.now
    for reader in adopting.readers:
        found: Any
        if in_place or not reader.waits:
            found = reader.look(cookies, now, (MESSAGES,))
        else:
            found = await sync_to_async(reader.look)(cookies, now, (MESSAGES,))
        judged = adopting.judged(reader, found)
        if judged is not None:
            yield reader, judged


async def settle(adopting: Adoption, reader: Reader | None, value: str, *, in_place: bool) -> None:
    """
    Note that a session is one of ours now, and delete its record where `take=True` says so.

    Args:
        reader: That found it; None: an earlier request has kept it.
        value: Of the session cookie.
        in_place: No event loop waits for this.
    """
    if reader is None:
        return
    adopting.note_adopted(reader)
    if not reader.take:
        return
    cookies = {settings.SESSION_COOKIE_NAME: value}
    try:
        if in_place:
            reader.forget(cookies)
        else:
            await sync_to_async(reader.forget)(cookies)
    except BackendError as error:
        _logger.warning("the record of an adopted session stays where it was: %s", error)


def is_foreign(session: Session | None) -> bool:
    """Tell whether a session is one of Django's own that is to become one of ours."""
    return session is not None and type(session._draft.origin) is Foreign
