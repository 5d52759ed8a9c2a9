"""
Give a future its result, and let the task that waits for it go on at once.

After a future is done, asyncio resumes its task in the next turn of the loop: one more handle for
each, and one more look at all sockets. The callback that receives an answer is run by the loop
itself, between tasks, so it may resume the task right there.
"""

import asyncio
from typing import TypeVar

T = TypeVar("T")


def resume(future: "asyncio.Future[T]", result: T) -> None:
    """
    Set the result of a future that is not done, and run the one task that waits for it.

    Only for a callback of the event loop: no task can run within another.
    """
    callbacks = getattr(future, "_callbacks", None)  # private: a version without it takes a turn
    if callbacks is None or len(callbacks) != 1:
        future.set_result(result)
        return
    step, context = callbacks[0]
    future.remove_done_callback(step)  # else the loop would take the step once more
    future.set_result(result)
    context.run(step, future)
