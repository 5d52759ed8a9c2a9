"""What people do with a session that is a dict: copies, `|`, `|=`, popitem; and pickles."""

import asyncio
import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from django.test import override_settings

from coatcheck import Session
from coatcheck.frameworks.flask import FlaskSession
from coatcheck.frameworks.pyramid import PyramidSession
from coatcheck.storage import MemoryStorage
from tests.frameworks.django_site import engine


class Request:
    """As far as Pyramid's session looks at it."""

    def __init__(self, session: Session) -> None:
        self.environ = {"coatcheck.session": session}


def plain() -> Any:
    return Session({"a": 1, "b": [2]}, id="x")


def of_flask() -> Any:
    return FlaskSession[Any]({"a": 1, "b": [2]}, id="x")


def of_pyramid() -> Any:
    return PyramidSession(Request(plain()))


def of_django() -> Any:
    store = engine().SessionStore()
    store.update({"a": 1, "b": [2]})
    return store


MAPPINGS = [plain, of_flask, of_pyramid]


@pytest.mark.parametrize("make", MAPPINGS)
def test_copy_and_union_give_a_dict(make: Callable[[], Any]) -> None:
    """The session stays as it is."""
    held = make()
    for made in (held.copy(), held | {}, {} | held):
        assert type(made) is dict
        assert made == {"a": 1, "b": [2]}
    assert held | {"a": 3, "c": 4} == {"a": 3, "b": [2], "c": 4}
    assert {"a": 3, "c": 4} | held == {"a": 1, "c": 4, "b": [2]}
    assert dict(held) == {"a": 1, "b": [2]}
    with pytest.raises(TypeError):
        _ = held | 3
    with pytest.raises(TypeError):
        _ = 3 | held


@pytest.mark.parametrize("make", MAPPINGS)
def test_an_update_in_place_is_one_of_the_session(make: Callable[[], Any]) -> None:
    """`|=` takes a dict or pairs, and leaves the same object."""
    held = first = make()
    held |= {"c": 3}
    held |= [("d", 4)]
    assert held is first
    assert dict(held) == {"a": 1, "b": [2], "c": 3, "d": 4}
    with pytest.raises(TypeError):
        held |= 3


@pytest.mark.parametrize("make", MAPPINGS)
def test_popitem_takes_the_key_that_came_last(make: Callable[[], Any]) -> None:
    """As with a dict, until nothing is left."""
    held = make()
    assert [held.popitem(), held.popitem()] == [("b", [2]), ("a", 1)]
    with pytest.raises(KeyError):
        held.popitem()


def test_two_requests_that_begin_a_list_agree_in_pyramid() -> None:
    """`setdefault` sets only what is absent, and what both append to it is kept."""
    storage = MemoryStorage()
    begun = storage.read(None)
    begun["begun"] = True
    value = storage.save(begun)
    sessions = [storage.read(value), storage.read(value)]
    for item, own in enumerate(sessions):
        PyramidSession(Request(own)).setdefault("cart", []).append(item)
    for own in sessions:
        storage.save(own)
    assert storage.read(value)["cart"] == [0, 1]
    assert PyramidSession(Request(storage.read(value))).setdefault("cart") == [0, 1]


@pytest.mark.parametrize("awaited", [False, True])
def test_two_requests_that_begin_a_list_agree_in_django(*, awaited: bool) -> None:
    """Django's own `setdefault` would set the list of the later request."""
    with override_settings(COATCHECK_STORAGE=MemoryStorage()):
        begun = engine().SessionStore()
        begun["begun"] = True
        begun.save()
        stores = [engine().SessionStore(begun.session_key) for _ in range(2)]
        for store in stores:
            assert "begun" in store
        for item, store in enumerate(stores):
            if awaited:
                cart = asyncio.run(store.asetdefault("cart", []))
            else:
                cart = store.setdefault("cart", [])
            cart.append(item)
        for store in stores:
            assert store.modified
            store.save()
        assert engine().SessionStore(begun.session_key)["cart"] == [0, 1]


@pytest.mark.parametrize("make", [*MAPPINGS, of_django])
def test_the_copy_module_gives_a_dict(make: Callable[[], Any]) -> None:
    """A deep copy has lists of its own."""
    with override_settings(COATCHECK_STORAGE=MemoryStorage()):
        held = make()
        shallow, deep = copy.copy(held), copy.deepcopy(held)
        assert type(shallow) is type(deep) is dict
        assert shallow == deep == {"a": 1, "b": [2]}
        assert shallow["b"] is held["b"]
        assert deep["b"] is not held["b"]


@pytest.mark.parametrize("make", [*MAPPINGS, of_django, lambda: of_django()._session])
def test_no_session_is_pickled(make: Callable[[], Any]) -> None:
    """It holds an id, or leads to one, and a visitor's values."""
    with override_settings(COATCHECK_STORAGE=MemoryStorage()):
        held = make()
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError, match="cannot be pickled"):
                pickle.dumps(held, protocol)
