"""What may be said of an application's sessions."""

import warnings
from typing import Any

import pytest

from coatcheck import CoatcheckWarning, ConfigurationError, Cookie
from coatcheck._request.options import SHORTEST_ROTATION, Options, check
from tests.hosts import COOKIE, SECRET

GOOD: dict[str, Any] = {"idle": 60, "lifetime": 3600, "refresh": 0.5, "rotate": 3600}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"idle": None, "lifetime": None, "rotate": None},
        {"refresh": 0},
        {"refresh": 1},
        {"rotate": SHORTEST_ROTATION},
        {"idle": 0.1},
    ],
    ids=str,
)
def test_what_makes_sense_is_taken_in_silence(options: dict[str, Any]) -> None:
    """No warning without a reason."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(COOKIE, **{**GOOD, **options})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"idle": 0}, "idle must be seconds above 0, got 0"),
        ({"idle": float("nan")}, "idle must be seconds above 0, got nan"),
        ({"lifetime": -1}, "lifetime must be seconds above 0, got -1"),
        ({"lifetime": float("inf")}, "lifetime must be seconds above 0, got inf"),
        ({"refresh": 2}, "refresh must be from 0 to 1, got 2"),
        ({"refresh": float("nan")}, "refresh must be from 0 to 1, got nan"),
        ({"rotate": 60}, "rotate must be at least 300 seconds, got 60"),
        ({"rotate": float("inf")}, "rotate must be at least 300 seconds, got inf"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], says: str) -> None:
    """The message names the option, what it must be, and what it is."""
    with pytest.raises(ConfigurationError, match=f"^{says}"):
        check(COOKIE, **{**GOOD, **options})


def test_a_cookie_without_secrets_is_refused() -> None:
    """Anybody could write a session of their own; the message names the cookie."""
    with pytest.raises(ConfigurationError, match="'visit' has no secrets"):
        check(Cookie("visit"), **GOOD)


def test_a_cookie_that_scripts_can_read_warns() -> None:
    """It works, and is weaker than it should be."""
    with pytest.warns(CoatcheckWarning, match="httponly=False"):
        check(Cookie("visit", secrets=[SECRET], httponly=False), **GOOD)


def test_every_option_is_explained() -> None:
    """The docstring names each keyword."""
    assert Options.__doc__
    assert all(f"{name}: " in Options.__doc__ for name in Options.__annotations__)
