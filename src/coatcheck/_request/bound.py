"""`Bound`: what an application may say of sessions that are bound to a device."""

import re
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta

from coatcheck.errors import ConfigurationError

SHORTEST, LONGEST = 300, 24 * 3600
"""Seconds that a bound cookie may live: browsers sign about 6 times in 9 minutes for one site."""

_is_path = re.compile(r"(/[A-Za-z0-9._~!$&'()*+=:@%-]+)+").fullmatch
_is_rule = re.compile(r"/[A-Za-z0-9._~!$&'()*+=:@%/-]*").fullmatch


@dataclass(frozen=True)
class Bound:
    """
    The binding of sessions to the device of the sign-in: `session(..., bound=…)`.

    All paths are as the browser sees them.

    Args:
        path: Where the middleware serves the browser: it answers below this path.
        every: Seconds, or a timedelta, after which the browser proves its device again; from 5
            minutes to a day.
        required: Whether `require_bound()` refuses sessions that are not bound. Browsers that
            cannot bind a session are refused there, then.
        exclude: Paths of the origin whose requests need no proof and wait for none, such as
            "/static". With a slash at its end, or without, each also means what is below it.
        include: Paths to which the binding is limited; () means the whole origin.
        prefix: What a proxy takes off each path before this application sees it, if it does not
            say so; "" means nothing.

    Raises:
        ConfigurationError: A path is none, or a time is out of its range.

    Source: W3C Device Bound Session Credentials.
    """

    _: KW_ONLY
    path: str = "/_session"
    every: float | timedelta = 600
    required: bool = False
    exclude: Iterable[str] = ()
    include: Iterable[str] = ()
    prefix: str = ""

    def __post_init__(self) -> None:
        make = object.__setattr__
        make(self, "every", _seconds(self.every))
        if not isinstance(self.required, bool):
            raise ConfigurationError(f"required must be True or False, got {self.required!r}")
        if not isinstance(self.path, str) or not _is_path(self.path):
            raise ConfigurationError(
                f'path must be a path such as "/_session", without a slash at its end, '
                f"got {self.path!r}"
            )
        if not isinstance(self.prefix, str) or (self.prefix and not _is_path(self.prefix)):
            raise ConfigurationError(
                f'prefix must be "" or a path such as "/shop", got {self.prefix!r}'
            )
        make(self, "exclude", _rules("exclude", self.exclude))
        make(self, "include", _rules("include", self.include))

    @property
    def seconds(self) -> int:
        """`every` in seconds."""
        return _seconds(self.every)

    @property
    def rules(self) -> list[tuple[str, str]]:
        """
        The scope as the browser is told.

        In the specification the first rule that fits a path decides, in Chromium 156 the last one.
        So the rules that could contradict each other are told in both orders.
        """
        excluded = [("exclude", path) for path in self.exclude]
        included = [("include", path) for path in self.include]
        if not included:
            return excluded
        rest = ("exclude", "/")
        return [*excluded, *included, rest, *included, *excluded]

    def covers(self, path: str) -> bool:
        """
        Tell whether a request for this path needs a proof.

        Args:
            path: As this application sees it.

        Source: the specification, "Identify if a URL is in scope of a session".
        """
        path = self.prefix + path
        for kind, rule in self.rules:
            below = rule if rule.endswith("/") else f"{rule}/"
            if path == rule or path.startswith(below):
                return kind == "include"
        return True


def check_bound(bound: object, storage: str, *, on_server: bool) -> None:
    """
    Check what is to be bound, and how.

    Args:
        storage: The name of its type.
        on_server: Whether it keeps records that no client holds.

    Raises:
        ConfigurationError: *bound* is no `Bound`, or clients hold the sessions.
    """
    if not isinstance(bound, Bound):
        raise ConfigurationError(
            f'bound must be a Bound, got {type(bound).__name__}: Bound(path="/_session")'
        )
    if not on_server:
        raise ConfigurationError(
            f"bound needs a storage on a server or in files, got {storage}: a copy of a cookie "
            "that was made before the device was known would stay unbound"
        )


def _seconds(every: object) -> int:
    seconds = every.total_seconds() if isinstance(every, timedelta) else every
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, int | float)
        or not SHORTEST <= seconds <= LONGEST
    ):
        raise ConfigurationError(
            f"every must be from {SHORTEST} to {LONGEST} seconds, or a timedelta of them, "
            f"got {every!r}"
        )
    return int(seconds)


def _rules(name: str, given: object) -> tuple[str, ...]:
    found = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else (given,)
    if isinstance(given, str) or not all(isinstance(it, str) and _is_rule(it) for it in found):
        raise ConfigurationError(
            f'{name} must be a list of paths such as ["/static"], without "*", got {given!r}'
        )
    return found
