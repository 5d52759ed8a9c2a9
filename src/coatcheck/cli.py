"""
The command line.

    coatcheck demo --storage redis://127.0.0.1:6379 --port 8080
    coatcheck sweep postgresql://user:password@host/database
    coatcheck adopt --check flask < cookie.txt
    coatcheck stats redis://127.0.0.1 --json

Exit codes: 0 if all is well, and after Ctrl+C; 1 if something out there is in the way (a taken
port, a server that does not answer, a missing package), or if a check failed; 2 if the command line
makes no sense.

To add a command: a module of `_commands`, an entry in `COMMANDS`, and its arguments in `_parser`.
"""

import argparse
import asyncio
import os
import re
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from secrets import token_urlsafe
from typing import NoReturn

from coatcheck import __version__
from coatcheck._commands.output import Output, reason_of
from coatcheck._commands.secret import secret
from coatcheck._commands.sweep import sweep
from coatcheck.errors import BackendError, ConfigurationError

LAST_PORT = 65535

FORMATS = (
    "aiohttp-session",
    "auth-js",
    "beaker",
    "better-auth",
    "cookie-session",
    "django",
    "django-cache",
    "django-table",
    "express",
    "flask",
    "flask-session",
    "iron-session",
    "litestar",
    "rails",
    "starlette",
    "starsessions",
)
"""Formats of `adopt --check`, named here so that `--help` imports no reader."""


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command, and return its exit code.

    Args:
        arguments: Without the program's name; None: those of this process.
    """
    shown = warnings.formatwarning
    warnings.formatwarning = _on_one_line
    try:
        return _run(arguments)
    finally:
        warnings.formatwarning = shown


def _run(arguments: Sequence[str] | None) -> int:
    parser = _parser()
    options = parser.parse_args(_joined(sys.argv[1:] if arguments is None else arguments))
    try:
        return COMMANDS[options.command](options)
    except ImportError as missing:
        package = str(missing.name).partition(".")[0]
        return _complain(f"{package} is missing: pip install 'coatcheck[cli]'")
    except ConfigurationError as trouble:
        if isinstance(trouble.__cause__, ImportError):
            return _complain(str(trouble))
        parser.error(str(trouble))
    except (OSError, BackendError) as trouble:
        return _complain(_told(trouble))


def _joined(arguments: Sequence[str]) -> list[str]:
    """Return arguments with each handle joined to its option: one of 64 begins with a dash."""
    joined: list[str] = []
    for each in arguments:
        if joined and joined[-1] == "--handle":
            joined[-1] = f"--handle={each}"
        else:
            joined.append(each)
    return joined


def _adopt(options: argparse.Namespace) -> int:
    from coatcheck._commands.adopt_check import check

    return check(options.check, name=options.name, server=options.server, as_json=options.json)


def _users(options: argparse.Namespace) -> int:
    from coatcheck._commands import users

    output = Output(as_json=options.json)
    place = options.url, options.user
    if options.command == "users":
        return users.list_sessions(*place, output, cookie=options.cookie)
    if options.command == "show":
        return users.show_session(*place, options.handle, output, cookie=options.cookie)
    handle = None if options.all else options.handle
    return users.end_sessions(*place, output, cookie=options.cookie, handle=handle)


def _stats(options: argparse.Namespace) -> int:
    from coatcheck._commands.stats import stats

    return stats(options.url, Output(as_json=options.json))


def _doctor(options: argparse.Namespace) -> int:
    from coatcheck._commands.doctor_site import doctor_site
    from coatcheck._commands.doctor_storage import doctor_storage

    output = Output(as_json=options.json)
    if not options.url.startswith(("http://", "https://")):
        return doctor_storage(options.url, output)
    return doctor_site(
        options.url,
        output,
        cookie=options.cookie,
        start=options.start,
        sign_in=options.sign_in,
        sign_out=options.sign_out,
    )


def _demo(options: argparse.Namespace) -> int:
    # These need the extra `cli`; --help and --version do not.
    from coatcheck.demo.checkroom import checkroom_from
    from coatcheck.demo.serving import listen, serve

    secret = os.environ.get("SESSION_SECRET") or token_urlsafe(32)
    signal.signal(signal.SIGTERM, _end)
    with ExitStack() as closing:
        checkroom = checkroom_from(options.storage or _temporary(closing))
        certificate = None
        if options.https:
            from coatcheck.demo.certificate import make_certificate

            folder = closing.enter_context(tempfile.TemporaryDirectory(prefix="coatcheck-"))
            certificate = make_certificate(Path(folder))
        try:
            listener = closing.enter_context(listen(options.host, options.port))
        except OSError as taken:
            why = str(taken.strerror).partition(" (")[0]
            return _complain(f"cannot use port {options.port} of {options.host}: {why}")
        try:
            asyncio.run(serve(checkroom, listener, secret, certificate))
        except KeyboardInterrupt:
            print("  Closed.")
    return 0


def _move(options: argparse.Namespace) -> int:
    from coatcheck._commands.move import move

    return move(options.old, options.new, Output(as_json=options.json))


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "adopt": _adopt,
    "demo": _demo,
    "doctor": _doctor,
    "end": _users,
    "move": _move,
    "secret": lambda options: secret(Output(as_json=options.json)),
    "show": _users,
    "stats": _stats,
    "users": _users,
    "sweep": lambda options: sweep(options.url, as_json=options.json),
}
"""The action of each command: takes its arguments, returns the exit code."""


def _temporary(closing: ExitStack) -> str:
    folder = closing.enter_context(tempfile.TemporaryDirectory(prefix="coatcheck-"))
    return f"sqlite:{folder}/sessions"


def _end(*_: object) -> NoReturn:
    """End as after Ctrl+C: the temporary folder goes too."""
    raise SystemExit(0)


def _told(trouble: Exception) -> str:
    """Return what went wrong and why, on one line."""
    why = reason_of(trouble)
    return str(trouble) if why in str(trouble) else f"{trouble}: {why}"


def _on_one_line(message: Warning | str, *_: object, **__: object) -> str:
    """Return a warning without a line of this program, which its user did not write."""
    return f"coatcheck: {message}\n"


def _complain(what: str) -> int:
    print(f"coatcheck: {what}", file=sys.stderr)
    return 1


class _Parser(argparse.ArgumentParser):
    """A parser whose errors quote no argument: a URL, or a piece of one, may hold a password."""

    def error(self, message: str) -> NoReturn:
        super().error(_unquoted(message))


def _unquoted(message: str) -> str:
    """Return an error of argparse without the arguments that it quotes."""
    if message.startswith("unrecognized arguments: "):
        return "there are arguments too many: put quotes around a URL with a space, a # or an &"
    if message.startswith("argument ") and ": invalid choice: " in message:
        name, _, quoted = message.partition(": invalid choice: ")
        return f"{name}: invalid choice (choose{quoted.rpartition(' (choose')[2]}"
    if ": ignored explicit argument " in message:
        return f"{message.partition(': ignored explicit argument ')[0]}: takes no value"
    return message


def _user(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="coatcheck", description="HTTP sessions for Python.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"coatcheck {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, dest="command")
    demo = commands.add_parser(
        "demo", allow_abbrev=False, help="serve a small shop that shows what sessions do"
    )
    demo.add_argument(
        "--storage",
        metavar="URL",
        help="sqlite:PATH, redis://HOST, postgresql://HOST/NAME, memory:, cookie: or any other "
        "(default: SQLite in a temporary folder)",
    )
    sweeping = commands.add_parser(
        "sweep", allow_abbrev=False, help="remove the expired sessions of a storage"
    )
    sweeping.add_argument("url", metavar="URL", help="sqlite:PATH, file:DIR, postgresql://…")
    adopting = commands.add_parser(
        "adopt", allow_abbrev=False, help="try a reader on one cookie of another package"
    )
    adopting.add_argument(
        "--check",
        metavar="FORMAT",
        required=True,
        choices=FORMATS,
        help="such as flask, django-table or express",
    )
    adopting.add_argument("--name", default="", help="of the cookie, if not the package's default")
    adopting.add_argument(
        "--server", default="", metavar="URL", help="where the package keeps its records"
    )
    counting = commands.add_parser(
        "stats", allow_abbrev=False, help="count the sessions of a storage"
    )
    counting.add_argument("url", metavar="URL", help="sqlite:PATH, redis://HOST, postgresql://…")
    moving = commands.add_parser(
        "move", allow_abbrev=False, help="move every living session to another storage"
    )
    moving.add_argument("old", metavar="OLD", help="URL of the storage to leave")
    moving.add_argument("new", metavar="NEW", help="URL of the storage to fill")
    listing = commands.add_parser("users", allow_abbrev=False, help="list the sessions of a user")
    ending = commands.add_parser("end", allow_abbrev=False, help="end sessions of a user")
    showing = commands.add_parser(
        "show", allow_abbrev=False, help="show what a session holds, without values"
    )
    for each in (listing, ending):
        each.add_argument("url", metavar="URL", help="sqlite:PATH, redis://HOST, postgresql://…")
        each.add_argument(
            "user", metavar="USER", type=_user, help="as the application gave it to sign_in()"
        )
    showing.add_argument("url", metavar="URL", help="sqlite:PATH, redis://HOST, postgresql://…")
    showing.add_argument(
        "--user", metavar="USER", type=_user, required=True, help="whose session it is"
    )
    showing.add_argument("--handle", required=True, help="of the session, from `coatcheck users`")
    which = ending.add_mutually_exclusive_group(required=True)
    which.add_argument("--handle", help="of the session, from `coatcheck users`")
    which.add_argument("--all", action="store_true", help="every session of the user")
    for each in (listing, ending, showing):
        each.add_argument(
            "--cookie", metavar="NAME", default="__session", help="default: %(default)s"
        )
        each.add_argument("--json", action="store_true", help="write JSON, for programs")
    making = commands.add_parser("secret", allow_abbrev=False, help="make a secret for cookies")
    looking = commands.add_parser(
        "doctor", allow_abbrev=False, help="check a storage, or a running application"
    )
    looking.add_argument("url", metavar="URL", help="of a storage; or http://…, of a site")
    looking.add_argument("--cookie", metavar="NAME", help="the session cookie of the site")
    looking.add_argument("--start", metavar="PATH", help="a page that begins a session")
    looking.add_argument("--sign-in", metavar="'PATH FORM'", help="'/login name=ada&password=x'")
    looking.add_argument("--sign-out", metavar="'PATH FORM'", help="'/logout'")
    for each in (sweeping, adopting, counting, moving, making, looking):
        each.add_argument("--json", action="store_true", help="write JSON, for programs")
    demo.add_argument(
        "--https",
        action="store_true",
        help="make a certificate and serve over HTTPS, so sessions can be bound to the device",
    )
    demo.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    demo.add_argument(
        "--port", type=_port, default=8000, help="default: %(default)s; 0: a free one"
    )
    return parser


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > LAST_PORT:
        raise argparse.ArgumentTypeError(f"a port must be a number from 0 to {LAST_PORT}")
    return int(text)
