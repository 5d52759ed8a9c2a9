"""Which requests come from a page of this application."""

from typing import Any

import pytest

from coatcheck import ConfigurationError
from coatcheck._request.origins import Facts, rules_of

OWN, PAY, EVIL = "https://shop.example", "https://pay.example", "https://evil.example"


def facts(method: str = "POST", **given: Any) -> Facts:
    return Facts(
        **{"method": method, "path": "/", "host": "shop.example", "origin": "", "site": "", **given}
    )


@pytest.mark.parametrize(
    ("request_", "refused"),
    [
        (facts("GET", site="cross-site", origin=EVIL), False),
        (facts("HEAD", site="cross-site"), False),
        (facts("GET", site="cross-site", origin=EVIL, websocket=True), True),
        (facts("", origin=EVIL, websocket=True), True),
        (facts("GET", origin=OWN, websocket=True), False),
        (facts(site="same-origin"), False),
        (facts(site="none"), False),
        (facts(site="same-site", origin="https://blog.shop.example"), True),
        (facts(site="cross-site", origin=EVIL), True),
        (facts(site="cross-site"), True),
        (facts(site="cross-site", origin=PAY), False),
        (facts(), False),
        (facts(origin=OWN), False),
        (facts(origin="https://SHOP.example"), False),
        (facts(origin="http://shop.example:8080", host="shop.example:8080"), False),
        (facts(origin="https://shop.example:8443"), True),
        (facts(origin=EVIL), True),
        (facts(origin=PAY), False),
        (facts(origin="null"), True),
        (facts(origin="null", host=""), True),
        (facts(origin="https://[bad"), True),
        (facts(site="cross-site", path="/hooks/paid"), False),
        (facts(site="cross-site", path="/hook"), True),
        (facts("DELETE", site="cross-site"), True),
    ],
)
def test_a_request_is_judged_by_what_browsers_say_of_it(request_: Facts, *, refused: bool) -> None:
    """Sec-Fetch-Site first, Origin behind it; programs that send neither pass."""
    assert rules_of((PAY,), ("/hooks/",)).refuses(request_) is refused


@pytest.mark.parametrize(
    ("trusted", "bypass", "says"),
    [
        (PAY, (), r"trusted must hold .* got one text"),
        (("https://pay.example/",), (), "and no path"),
        (("pay.example",), (), "got 'pay.example'"),
        (("HTTPS://pay.example",), (), "lower case"),
        (("https://*.example",), (), "without '\\*'"),
        ((5,), (), "got 5"),
        ((), "/hooks/", "bypass must hold"),
        ((), ("hooks",), "got 'hooks'"),
        ((), 5, "got 5"),
    ],
)
def test_what_is_no_origin_or_path_is_refused(trusted: Any, bypass: Any, says: str) -> None:
    """When the application starts: a typing error must not open a door, or close one."""
    with pytest.raises(ConfigurationError, match=says):
        rules_of(trusted, bypass)
