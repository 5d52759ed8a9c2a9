r"""
Where a visitor may be sent after signing in: to a page of this application, and nowhere else.

    RedirectResponse(safe_redirect_target(form.get("next")), 303)

Browsers read much as the start of another host: "//", "/\", a tab or a newline in between. So only
what the grammar calls an absolute path is accepted, with a query and a fragment; and in the path
no "//" and no encoded slash or backslash, which proxies are known to decode.

Source: RFC 3986, 3.3 to 3.5; WHATWG URL, 4.4; OWASP Unvalidated Redirects.
"""

import re

_LETTER = r"[A-Za-z0-9\-._~!$&'()*+,;=:@]"
_PATH = rf"(?:/(?!/)(?:{_LETTER}|%(?!2[Ff]|5[Cc])[0-9A-Fa-f]{{2}})*)+"
_REST = rf"(?:{_LETTER}|[/?]|%[0-9A-Fa-f]{{2}})*"
_TARGET = re.compile(rf"{_PATH}(?:\?{_REST})?(?:#{_REST})?")

LIMIT = 2048
"""Characters that a target may have: longer ones are no page's address."""


def is_local_path(target: object) -> bool:
    """Tell whether *target*, which may be anything, leads to this application: "/cart?page=2"."""
    return isinstance(target, str) and len(target) <= LIMIT and bool(_TARGET.fullmatch(target))


def safe_redirect_target(target: object, default: str = "/") -> str:
    """
    Return *target* if it leads to a page of this application, else *default*.

    Args:
        target: From a client, so it may be anything; None or an upload are no target.
        default: From the application, taken as it is.
    """
    return target if isinstance(target, str) and is_local_path(target) else default
