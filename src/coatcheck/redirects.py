r"""
Safe targets for a redirect: pages of this application, and no other host.

    RedirectResponse(safe_redirect_target(form.get("next")), 303)

Browsers read `//`, `/\` and a slash with a tab or a newline behind it as the start of another host.
So a target must be an absolute path by the grammar, with an optional query and fragment. The path
must not hold `//`, nor an encoded slash or backslash, because some proxies decode them.

Source: RFC 3986, 3.3 to 3.5; WHATWG URL, 4.4; OWASP Unvalidated Redirects.
"""

import re

__all__ = ["is_local_path", "safe_redirect_target"]

_LETTER = r"[A-Za-z0-9\-._~!$&'()*+,;=:@]"
_PATH = rf"(?:/(?!/)(?:{_LETTER}|%(?!2[Ff]|5[Cc])[0-9A-Fa-f]{{2}})*)+"
_REST = rf"(?:{_LETTER}|[/?]|%[0-9A-Fa-f]{{2}})*"
_TARGET = re.compile(rf"{_PATH}(?:\?{_REST})?(?:#{_REST})?")

LIMIT = 2048
"""The largest number of characters of a target."""


def is_local_path(target: object) -> bool:
    """
    Tell whether *target* is a page of this application, such as "/cart?page=2".

    Args:
        target: What a client sent, of any type. More than 2048 characters are refused.

    Source: RFC 3986, 3.3 to 3.5.
    """
    return isinstance(target, str) and len(target) <= LIMIT and bool(_TARGET.fullmatch(target))


def safe_redirect_target(target: object, default: str = "/") -> str:
    """
    Return *target* if it is a page of this application, else *default*.

    Args:
        target: What a client sent, of any type; None if it sent nothing.
        default: A page that the application chooses; it is not checked.
    """
    return target if isinstance(target, str) and is_local_path(target) else default
