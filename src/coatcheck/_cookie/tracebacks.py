"""
Clear the frames of an error, so that a traceback shows nothing of a session.

Error reporters print the local variables of every frame of a traceback. The frames between a
handler and the server of a storage hold ids, keys, values and records, so an error leaves them
behind. Its type, its text and those of its causes stay.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from coatcheck.errors import SessionError

P = ParamSpec("P")
T = TypeVar("T")


def forget_frames(error: BaseException) -> None:
    """
    Let an error, and what led to it, forget the frames that they went through.

    An error that the application is handling meanwhile keeps its own: it was caught in a frame that
    still runs.
    """
    running, seen, rest = _running_frames(), set[int](), [error]
    while rest:
        each = rest.pop()
        seen.add(id(each))
        each.__traceback__ = None
        before = (each.__cause__, each.__context__)
        rest += (
            inner
            for inner in before
            if inner and id(inner) not in seen and _caught_in(inner) not in running
        )


def forget_our_frames(error: BaseException) -> None:
    """Do the same to an error of coatcheck; another one may come from code of the application."""
    if isinstance(error, SessionError):
        forget_frames(error)


def hides_arguments(method: Callable[P, T]) -> Callable[P, T]:
    """Return a function whose errors of coatcheck show none of its arguments, which are values."""
    return _hiding(method, SessionError)


def hides_credentials(method: Callable[P, T]) -> Callable[P, T]:
    """
    Return a function none of whose errors shows its arguments, such as a user and a pin.

    It must run no code of the application, whose errors would lose their frames.
    """
    return _hiding(method, Exception)


def _hiding(method: Callable[P, T], kind: type[Exception]) -> Callable[P, T]:
    @wraps(method)
    def hidden(*args: Any, **keywords: Any) -> T:
        try:
            return method(*args, **keywords)
        except kind as error:
            args, keywords = (), {}
            forget_frames(error)
            raise

    return hidden


def _running_frames() -> set[FrameType | None]:
    frames, frame = set[FrameType | None](), inspect.currentframe()
    while frame is not None:
        frames.add(frame)
        frame = frame.f_back
    return frames


def _caught_in(error: BaseException) -> FrameType | None:
    traceback = error.__traceback__
    return traceback.tb_frame if traceback else None
