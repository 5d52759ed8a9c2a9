"""
A readable label for the device of a sign-in: "Firefox on Windows".

    session.sign_in(user, label=device_label(request.headers.get("user-agent")))

A label tells a person which device is meant, and proves nothing: a client sends what it likes. No
address and no version is kept, so it tells a stranger little.
"""

from coatcheck.errors import ConfigurationError

LONGEST_LABEL = 60
"""Characters of a label."""

LONGEST_HEADER = 400
"""Characters of a User-Agent that are looked at; a parser's work grows with them."""

_SHOWN = {"Mac OS X": "macOS", "Other": ""}


def device_label(user_agent: str | None) -> str:
    """
    Return a name for the device that a User-Agent header tells of (extra `coatcheck[devices]`).

    The first call takes about a second, because the parser prepares its patterns.

    Args:
        user_agent: From a client, so any text; None: it sent none.

    Returns:
        At most 60 characters, such as "Firefox on Windows" or "Safari on iPhone"; "" if the header
        tells nothing.

    Raises:
        ConfigurationError: The package ua-parser is not installed.
    """
    if not user_agent:
        return ""
    try:
        from ua_parser import parse
    except ImportError as missing:
        raise ConfigurationError(
            "device_label() needs the package ua-parser: pip install 'coatcheck[devices]'"
        ) from missing
    found = parse(user_agent[:LONGEST_HEADER])
    browser = _named(found.user_agent.family if found.user_agent else "")
    system = _named(found.os.family if found.os else "")
    if found.device and found.device.family in ("iPhone", "iPad"):
        system = found.device.family
    label = f"{browser} on {system}" if browser and system else browser or system
    return label[:LONGEST_LABEL].rstrip()


def _named(family: str) -> str:
    """Return the name that people know of what the parser found, in printable characters."""
    words = [word for word in family.split() if word != "Mobile"]
    name = " ".join(words).removeprefix("Headless")
    return "".join(filter(str.isprintable, _SHOWN.get(name, name)))
