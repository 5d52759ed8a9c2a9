"""
What the user of a database may do, judged: less than sessions need, or far more.

Pure: the answers of the server in, a check out.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from coatcheck._commands.checks import Check

NEEDED = ("SELECT", "INSERT", "UPDATE", "DELETE")
"""Rights that sessions need on their table; where there is none, CREATE makes it."""

_FAR = ("ALL PRIVILEGES", "SUPER", "FILE", "CREATE USER", "SHUTDOWN", *NEEDED, "DROP")
"""Rights that a user of sessions never needs on every database of MariaDB or MySQL."""

_GRANT = re.compile(r"GRANT (?P<rights>.+?) ON (?P<place>\S+) TO .+?(?P<option> WITH .*)?$")
"""A line may go on with the digest of a password, which is not taken."""


class Grant(NamedTuple):
    """Rights of MariaDB or MySQL, at a place such as *.* or `shop`.*."""

    rights: Sequence[str]
    place: str
    may_pass_on: bool


def judged(user: str, lacks: Sequence[str], beyond: Sequence[str]) -> Check:
    """
    Return the check of a user.

    Args:
        lacks: Rights that sessions need and this user has not.
        beyond: Rights that sessions do not need, and that harm more than sessions in wrong hands.
    """
    if lacks:
        return Check("fail", "user", f"{user} may not {', '.join(lacks)} on the table of sessions")
    if beyond:
        hint = "sessions need none of it: make a user for their table alone"
        return Check("warn", "user", f"{user} has {', '.join(beyond)}; {hint}")
    return Check("ok", "user", f"{user} may do what sessions need")


def grants_in(lines: Sequence[str]) -> Iterator[Grant]:
    """Yield the grants in what SHOW GRANTS answers; a role and a proxy are none."""
    for line in lines:
        found = _GRANT.match(line)
        if found and found["rights"] != "PROXY":
            rights = re.split(r", (?![^(]*\))", found["rights"])  # no comma of a list of columns
            yield Grant(rights, found["place"], "GRANT OPTION" in (found["option"] or ""))


def beyond(grants: Sequence[Grant]) -> list[str]:
    """Return the rights that go far beyond a table of sessions."""
    everywhere = {right for grant in grants if grant.place == "*.*" for right in grant.rights}
    wide = [f"{right} ON *.*" for right in _FAR if right in everywhere]
    return wide + ["GRANT OPTION"] * any(grant.may_pass_on for grant in grants)


def may_create(grants: Sequence[Grant], database: str, table: str) -> bool:
    """Tell whether a table of that name may be made in a database."""
    return any(
        _covers(grant.place, database, table)
        for grant in grants
        if not {"CREATE", "ALL PRIVILEGES"}.isdisjoint(grant.rights)
    )


def _covers(place: str, database: str, table: str) -> bool:
    """Tell whether a grant's place covers a table; in a database's name, % and _ stand for any."""
    named = re.fullmatch(r"(\*|`(?:[^`]|``)+`)\.(\*|`(?:[^`]|``)+`)", place)
    if named is None:
        return False
    of_database, of_table = (each.strip("`").replace("``", "`") for each in named.groups())
    if of_table not in ("*", table):
        return False
    return of_database == "*" or bool(re.fullmatch(_pattern(of_database), database))


def _pattern(name: str) -> str:
    r"""Return a name as a regular expression: % is any text, _ any letter, \_ and \% themselves."""
    parts = re.findall(r"\\.|.", name)
    known = {"%": ".*", "_": ".", r"\%": "%", r"\_": "_"}
    return "".join(known.get(part, re.escape(part)) for part in parts)
