"""The facts of a request, and what a session adds to a response."""

import pytest

from coatcheck._request.visit import NOTHING, VARY, Answer, Changes, Visit, sets_cookie

FACTS = {
    "method": lambda visit: visit.method,
    "path": lambda visit: visit.path,
    "scheme": lambda visit: visit.scheme,
    "host": lambda visit: visit.host,
    "header": lambda visit: visit.header("host"),
    "attach": Visit.attach,
    "replaced": Visit.replaced,
}


@pytest.mark.parametrize("fact", FACTS)
def test_a_host_has_to_tell_the_facts(fact: str) -> None:
    """Each is asked for when a decision needs it: one that is missing is found then."""
    with pytest.raises(NotImplementedError):
        FACTS[fact](Visit())


def test_a_request_brings_no_cookie_at_first() -> None:
    """A host that finds none need not say so."""
    visit = Visit()
    assert (visit.cookies, visit.opened, visit.others) == (None, None, ())


def test_a_session_may_add_nothing() -> None:
    """Or that the response depends on it, and no more."""
    assert Changes(vary=False, private=False, set_cookies=(), headers=()) == NOTHING
    assert NOTHING._replace(vary=True) == VARY


def test_an_answer_is_a_response() -> None:
    """To send in place of the application's."""
    answer = Answer(503, (("Retry-After", "1"),), b"later")
    assert (answer.status, answer.headers, answer.body) == (503, (("Retry-After", "1"),), b"later")


@pytest.mark.parametrize(
    ("headers", "sets"),
    [
        ([], False),
        ([("Set-Cookie", "name=1; Path=/")], True),
        ([("content-type", "name=1"), ("set-cookie", "name=")], True),
        ([(b"set-cookie", b"name=1")], True),
        ([(b"Set-Cookie", b"name=\xe9")], True),
        ([("set-cookie", "names=1"), ("set-cookie", "other=1; name=1")], False),
        ([("set-cookiE", "Name=1")], False),
        ([("set-header", "name=1"), ("x", "name=1")], False),
    ],
)
def test_a_response_may_set_our_cookie_already(
    headers: list[tuple[str | bytes, str | bytes]], *, sets: bool
) -> None:
    """Names of headers have no case, names of cookies do; hosts give text or bytes."""
    assert sets_cookie("name", headers) is sets
