"""What an application may say of sessions that are bound to a device."""

from datetime import timedelta
from typing import Any

import pytest

from coatcheck import Bound, ConfigurationError


def test_seconds_and_a_timedelta_mean_the_same() -> None:
    """Read again, it is seconds."""
    assert Bound().seconds == Bound(every=timedelta(minutes=10)).every == 600


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"every": 299},
            "every must be from 300 to 86400 seconds, or a timedelta",
        ),
        ({"every": 86401}, "got 86401"),
        ({"every": True}, "got True"),
        ({"every": "600"}, "got '600'"),
        ({"required": 1}, "required must be True or False, got 1"),
        ({"path": "_session"}, "path must be a path"),
        ({"path": "/"}, "path must be a path"),
        ({"path": "/a/"}, "without a slash at its end"),
        ({"path": '/a"b'}, "path must be a path"),
        ({"path": "/a;b"}, "path must be a path"),
        ({"path": None}, "path must be a path"),
        ({"prefix": "shop"}, "prefix must be"),
        ({"prefix": None}, "prefix must be"),
        ({"exclude": "/static"}, "exclude must be a list of paths"),
        ({"exclude": ["static"]}, "exclude must be a list of paths"),
        ({"exclude": [1]}, "exclude must be a list of paths"),
        ({"exclude": 1}, "exclude must be a list of paths"),
        ({"include": ["/a*b\n"]}, "include must be a list of paths"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], told: str) -> None:
    """When it is made, with the name of the argument."""
    with pytest.raises(ConfigurationError, match=told):
        Bound(**given)


def test_without_rules_the_whole_origin_is_covered() -> None:
    assert Bound().rules == []
    assert Bound().covers("/anything")


@pytest.mark.parametrize(
    ("path", "covered"),
    [
        ("/static", False),
        ("/static/a.css", False),
        ("/staticky", True),
        ("/media/", False),
        ("/media/a", False),
        ("/media", True),
        ("/", True),
    ],
)
def test_an_excluded_path_is_itself_and_what_is_below_it(path: str, covered: bool) -> None:
    """As a browser decides it; a rule with a slash at its end means only what is below."""
    assert Bound(exclude=["/static", "/media/"]).covers(path) is covered


def test_with_included_paths_nothing_else_is_covered() -> None:
    """An excluded path below an included one is out, whether the first rule decides or the last."""
    bound = Bound(include=["/shop"], exclude=["/shop/static"])
    static, shop = ("exclude", "/shop/static"), ("include", "/shop")
    assert bound.rules == [static, shop, ("exclude", "/"), shop, static]
    paths = ("/shop", "/shop/cart", "/shop/static/a.css", "/", "/blog")
    assert [bound.covers(path) for path in paths] == [True, True, False, False, False]


def test_rules_are_about_the_paths_of_the_browser() -> None:
    """A proxy takes the prefix off before the application sees a path."""
    bound = Bound(prefix="/shop", exclude=["/shop/static"])
    assert [bound.covers(path) for path in ("/static/a.css", "/cart")] == [False, True]
