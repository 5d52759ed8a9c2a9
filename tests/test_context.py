"""What middleware attach to a request, by type."""

from typing import Any

import pytest

from coatcheck import ConfigurationError, Context, Session


class User:
    """Somebody."""


class Admin(User):
    """Somebody else: another type, another key."""


def test_what_is_attached_is_found_by_its_type() -> None:
    """And by no other, not even a base of it."""
    context = Context({})
    admin = Admin()
    context.set(Admin, admin)
    assert context.get(Admin) is admin
    assert context.has(Admin)
    assert not context.has(User)


def test_what_is_missing_is_a_mistake_in_the_order() -> None:
    """The message names the type and says what to do."""
    with pytest.raises(ConfigurationError, match="User") as raised:
        Context({}).get(User)
    assert "before" in str(raised.value)


def test_it_lies_in_the_scope() -> None:
    """Two views of one scope, or of a copy that a middleware made, see the same."""
    scope: dict[str, Any] = {}
    Context(scope).set(User, user := User())
    assert Context(scope).get(User) is user
    assert Context(dict(scope)).get(User) is user


def test_what_is_set_again_replaces() -> None:
    """The later one counts."""
    context = Context({})
    context.set(User, User())
    context.set(User, user := User())
    assert context.get(User) is user


def test_a_session_is_attached_by_its_middleware_alone() -> None:
    """One that a handler attached would be read by others and never saved."""
    context = Context({})
    for key in (Session, Session[User]):
        with pytest.raises(ConfigurationError, match="session\\(\\)"):
            context.set(key, Session())
    assert not context.has(Session)


def test_the_session_is_found_where_the_middleware_put_it() -> None:
    """`scope["session"]` is an alias, where Starlette's own middleware may have put a dict."""
    ours, others = Session(), Session()
    assert Context({"coatcheck.session": ours, "session": others}).get(Session) is ours
    assert Context({"coatcheck.session": ours, "session": {}}).get(Session[User]) is ours
    assert Context({"session": others}).get(Session) is others
    assert not Context({"session": {}}).has(Session)
