"""
Folders and files with sessions: made for their owner alone, and checked if they were there already.

- What is made is 0700 or 0600, missing parents of a folder included.
- What is there must belong to this user or to root, who can do anything anyway. Somebody else could
  read every session, or put one there.
- What others may write to is used, with a warning: they can remove sessions, and put links there.

On systems without POSIX users nothing is checked.
"""

import os
import stat
from pathlib import Path

from coatcheck._cookie.weak import warn_of_weak
from coatcheck.errors import ConfigurationError

ROOT = 0

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def make_folder(path: Path) -> None:
    """
    Make a folder, 0700, and each of its parents that is missing.

    Raises:
        OSError: The system refuses it, or a file has that name.
    """
    for each in (*reversed(path.parents), path):
        try:
            each.mkdir(mode=0o700)
        except FileExistsError:
            if not each.is_dir():
                raise
        except OSError:
            if not each.is_dir():  # such as "/" on a system that is read-only
                raise


def check(path: Path, *, follow: bool = False) -> None:
    """
    Check the owner of a path, if it is there, and warn if others may write to it.

    Args:
        follow: Look at what a symbolic link leads to; otherwise a link is refused.

    Raises:
        ConfigurationError: It belongs to another user, or is a symbolic link.
    """
    found = check_owner(path, follow=follow)
    if found and found.st_mode & OTHERS_WRITE:
        mode = stat.S_IMODE(found.st_mode)
        warn_of_weak(
            f"{path} holds sessions and can be written by other users (mode {mode:04o}): "
            f"run chmod go-w {path}",
        )


def check_parent(path: Path) -> None:
    """
    Check the folder of a file as `check` does.

    A folder such as /tmp is fine: it is root's, and users cannot replace files of others in it.

    Raises:
        ConfigurationError: It belongs to another user.
    """
    found = check_owner(path.parent, follow=True)
    shared = found and found.st_uid == ROOT and found.st_mode & stat.S_ISVTX
    if not shared:
        check(path.parent, follow=True)


def check_owner(path: Path, *, follow: bool = False) -> os.stat_result | None:
    """
    Return the status of a path that belongs to this user; None if nothing is there.

    Raises:
        ConfigurationError: It belongs to another user, or is a symbolic link that is not followed.
    """
    try:
        found = path.stat(follow_symlinks=follow)
    except OSError:  # it is not there, or will be refused when it is opened
        return None
    if not hasattr(os, "geteuid"):
        return None
    if stat.S_ISLNK(found.st_mode):
        raise ConfigurationError(f"{path} must not be a symbolic link: remove it")
    if not is_ours(found):
        raise ConfigurationError(
            f"{path} must belong to the user that runs this process (uid {os.geteuid()}), and "
            f"belongs to uid {found.st_uid}: choose another path, or run chown"
        )
    return found


def is_ours(found: os.stat_result) -> bool:
    """Tell whether a path belongs to this user or to root."""
    return not hasattr(os, "geteuid") or found.st_uid in (os.geteuid(), ROOT)
