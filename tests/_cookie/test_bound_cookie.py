"""The cookie that proves a device."""

from typing import Any

import pytest

from coatcheck import ConfigurationError, Cookie
from coatcheck._cookie.bound_cookie import BoundCookie

OLDER, NEWER = "o" * 40, "n" * 40

SHOP = Cookie("__Host-shop", secrets=[NEWER])


def pair(cookie: BoundCookie, binding: str = "b", key: bytes = b"k", until: float = 100) -> str:
    """Return the Cookie header of a browser that got the cookie."""
    return cookie.line(binding, key, until).partition(";")[0]


@pytest.mark.parametrize("name", ["shop", "__Host-shop", "__secure-shop", "__Host-Http-shop"])
def test_it_goes_to_this_host_alone_whatever_the_session_cookie_is_called(name: str) -> None:
    """The prefix makes browsers hold it to that."""
    cookie = BoundCookie(Cookie(name, secrets=[NEWER]), 600)
    assert cookie.name == "__Host-shop-bound"
    assert cookie.line("b", b"k", 100).endswith(
        "; Max-Age=600; Path=/; Secure; HttpOnly; SameSite=Lax"
    )


def test_its_attributes_are_told_as_they_are_sent() -> None:
    """All but its age: a browser compares them with those of the Set-Cookie header."""
    embedded = Cookie("shop", secrets=[NEWER], samesite="None", partitioned=True)
    cookie = BoundCookie(embedded, 600)
    assert cookie.attributes == "Path=/; Secure; HttpOnly; SameSite=None; Partitioned"
    assert cookie.line("b", b"k", 9).endswith(f"; Max-Age=600; {cookie.attributes}")
    assert cookie.removal.startswith("__Host-shop-bound=; Max-Age=0;")


def test_it_proves_one_binding_and_one_key_until_its_end() -> None:
    """At its deadline it is over."""
    cookie = BoundCookie(SHOP, 600)
    header = pair(cookie)
    assert cookie.proves(f"a=1; {header}", "b", b"k", 99.9)
    assert not cookie.proves(header, "b", b"k", 100)
    assert not cookie.proves(header, "other", b"k", 0)
    assert not cookie.proves(header, "b", b"other", 0)
    assert not cookie.proves(None, "b", b"k", 0)


def test_of_several_any_one_proves() -> None:
    """One that is planted beside it does not hide it."""
    cookie = BoundCookie(SHOP, 600)
    both = f"{pair(cookie, 'other')}; {pair(cookie)}"
    assert cookie.proves(both, "b", b"k", 0)


def test_nobody_else_can_make_one() -> None:
    """Another secret, another cookie, a changed deadline; an older secret still opens."""
    cookie = BoundCookie(SHOP, 600)
    header = pair(cookie)
    assert not cookie.proves(header.replace(".100.", ".999."), "b", b"k", 100)
    assert not cookie.proves("__Host-shop-bound=b.k.100", "b", b"k", 0)
    text = header.partition("=")[2]
    sealed = SHOP.serialize(text.rpartition(".")[0]).partition(";")[0].partition("=")[2]
    assert not cookie.proves(f"__Host-shop-bound={sealed}", "b", b"k", 0)
    older = BoundCookie(Cookie("shop", secrets=[OLDER]), 600)
    assert not cookie.proves(pair(older), "b", b"k", 0)
    both = BoundCookie(Cookie("shop", secrets=[NEWER, OLDER]), 600)
    assert both.proves(pair(older), "b", b"k", 0)


@pytest.mark.parametrize(
    ("more", "told"),
    [({"domain": "example.org"}, "domain='example.org'"), ({"secure": False}, "secure=False")],
)
def test_a_session_cookie_that_goes_further_is_refused(more: dict[str, Any], told: str) -> None:
    """Where this cookie does not come along, a bound session would be nobody's."""
    with pytest.raises(ConfigurationError, match=f"got {told}"):
        BoundCookie(Cookie("shop", secrets=[NEWER], **more), 600)
