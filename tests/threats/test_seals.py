"""Attacks on the seal: values of other cookies, unsealed and damaged ones."""

import ast
from collections.abc import Callable

import pytest

from coatcheck import Cookie
from tests.hosts import SECRET, Front
from tests.threats.attacks import SOURCE, everywhere, holding, is_new, signed_in


@everywhere
def test_a_value_of_one_cookie_is_refused_in_another(front: Front) -> None:
    """Two cookies of one application, with one secret: the seal covers the name."""
    ours = signed_in(front)
    theirs = front.browser(Cookie("other", secrets=[SECRET]))
    assert ours.header
    theirs.header = "other=" + ours.header.partition("=")[2]
    assert theirs.ask(is_new).json is True


@everywhere
def test_nothing_unsealed_is_accepted(front: Front) -> None:
    """The bare value, an empty seal, the seal of a wrong secret."""
    browser = signed_in(front)
    value = browser.value or ""
    strange = Cookie("__session", secrets=["some other secret, and long enough too"])
    for header in (f"__session={value}", f"__session={value}.", holding(value, strange)):
        browser.header = header
        assert browser.ask(is_new).json is True


@everywhere
def test_two_applications_with_one_cookie_name_share_nothing(front: Front) -> None:
    """One server, one cookie name, two secrets: a cookie of one is nothing in the other."""
    ours = signed_in(front)
    theirs = front.browser(Cookie("__session", secrets=["some other secret, and long enough too"]))
    theirs.header = ours.header
    assert theirs.ask(is_new).json is True
    theirs.ask(lambda session: session.destroy())
    assert ours.ask(is_new).json is False


DAMAGES: dict[str, Callable[[str], str]] = {
    "nothing": lambda _: "",
    "truncated": lambda text: text[:-1],
    "halved": lambda text: text[: len(text) // 2],
    "extended": lambda text: text + "A",
    "padded": lambda text: text + "=",
    "flipped at the start": lambda text: chr(ord(text[0]) ^ 1) + text[1:],
    "flipped at the end": lambda text: text[:-1] + chr(ord(text[-1]) ^ 1),
    "other case": str.swapcase,
    "percent-encoded": lambda text: f"%{ord(text[0]):02x}" + text[1:],
    "standard alphabet": lambda text: text.replace("-", "+").replace("_", "/") + "+",
    "binary": lambda text: text + "\xff\x00",
    "twice": lambda text: text + text,
}


@everywhere
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_cookie_is_no_session(front: Front, damage: Callable[[str], str]) -> None:
    """It is answered like no cookie at all, and nothing raises."""
    browser = signed_in(front)
    assert browser.header
    name, _, value = browser.header.partition("=")
    browser.header = f"{name}={damage(value)}"
    answer = browser.ask(is_new)
    assert (answer.status, answer.json, answer.all("set-cookie")) == (200, True, [])


def test_no_input_reaches_pickle_or_eval() -> None:
    """The package imports nothing that makes objects of bytes, and evaluates nothing."""
    modules = {"pickle", "marshal", "shelve", "dill", "yaml", "copyreg"}
    calls = {"eval", "exec", "compile"}
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert not modules & {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] not in modules
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in calls
