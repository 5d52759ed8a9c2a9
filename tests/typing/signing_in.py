"""What type checkers make of sign-ins: mypy and pyright read this, and nobody runs it."""

from datetime import datetime, timedelta
from typing import Annotated, assert_type
from uuid import UUID

from fastapi import Depends

from coatcheck import Cookie, Session, SessionStorage, SignIn, asgi, device_label, session
from coatcheck.auth import SessionScheme, require_fresh
from coatcheck.frameworks.fastapi import CurrentUser, RequireFresh
from coatcheck.testing import SessionKit


def signs_in(session: Session, agent: str | None) -> None:
    session.sign_in("ada")
    session.sign_in(42, remember=True, pin="hash", label=device_label(agent), keep=["theme"])
    session.sign_in(UUID(int=1), remember=timedelta(days=7), keep=False)
    session.sign_in(b"ada")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    session.sign_in("ada", pin=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    session.confirm(pin="hash")
    session.act_as("bob", seconds=timedelta(minutes=15))
    session.stop_acting()
    session.sign_out()


def who(session: Session) -> None:
    found = session.signed_in
    assert_type(found, SignIn | None)
    found.user  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]  # noqa: B018
    if found is not None:
        assert_type(found.user, str)
        assert_type(found.actor, str | None)
        assert_type(found.confirmed_at, datetime)
        assert_type(found.is_fresh(300), bool)
        assert_type(found.holds("hash"), bool)
        found.user = "bob"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def options(cookie: Cookie, storage: SessionStorage, app: asgi.ASGIApp) -> None:
    session(cookie, storage, user_key="user_id")
    session(cookie, storage, user_key=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    asgi.SessionMiddleware(app, cookie, storage, user_key="user_id")
    SessionScheme()
    SessionScheme(pin=lambda user: user.password)
    require_fresh(300, on_stale=None)
    SessionKit(cookie, storage, user_key="user_id").sign_in({}, "ada", remember=60)


def a_fastapi_handler(
    user: CurrentUser, fresh: Annotated[SignIn, Depends(RequireFresh(300))]
) -> str:
    assert_type(user, SignIn)
    assert_type(fresh, SignIn)
    return user.user
