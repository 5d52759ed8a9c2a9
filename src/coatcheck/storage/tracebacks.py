"""
Clear the frames of an error, so that a traceback shows nothing of a session.

Error reporters print the local variables of every frame of a traceback. The frames between a
storage and its server hold ids, keys and records, so an error leaves them behind where it leaves
the storage. Its type, its text and those of its causes stay.
"""


def forget_frames(error: BaseException) -> None:
    """Let an error and its causes forget the frames that they went through."""
    each: BaseException | None = error
    while each is not None:
        each.__traceback__ = None
        each = each.__cause__ or each.__context__
