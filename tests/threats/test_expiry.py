"""A copied cookie is refused after its deadlines, whatever the browser or the backend keeps."""

from coatcheck import Session
from coatcheck.storage import KeyedStorage
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.testing import Clock
from tests.hosts import Front
from tests.storage_kinds import Made, front_of
from tests.threats.attacks import both, everywhere, gets, is_new, sets, signed_in


@everywhere
def test_a_copied_cookie_dies_when_it_is_not_used(front: Front, clock: Clock) -> None:
    """The deadline stands on the server, or under the seal; the browser is not asked."""
    browser = signed_in(front, idle=60)
    copied = browser.header
    clock.advance(59)
    assert browser.ask(gets("user")).json == "Ada"
    browser = front.browser(idle=60)
    browser.header = copied
    clock.advance(60)
    assert browser.ask(is_new).json is True


@everywhere
def test_a_copied_cookie_dies_at_the_end_of_its_lifetime(front: Front, clock: Clock) -> None:
    """However much it is used, refreshed and regenerated."""
    browser = signed_in(front, idle=60, lifetime=100)
    for handler in (gets("user"), Session.regenerate_id, sets(n=1)):
        clock.advance(33)
        browser.ask(handler)
    assert browser.ask(gets("user")).json == "Ada"
    clock.advance(1)
    assert browser.ask(is_new).json is True


@both
def test_an_expired_record_that_is_still_there_counts_as_absent(name: str, clock: Clock) -> None:
    """The deadline in the record decides; a backend that keeps it longer changes nothing."""
    frozen = Clock(clock.now)
    backend = MemoryBackend(max_records=10, clock=frozen)
    with front_of(name, Made(KeyedStorage(backend, clock=clock))) as front:
        browser = signed_in(front, idle=60)
        clock.advance(60)
        assert browser.ask(is_new).json is True
        assert len(backend) == 1
        assert browser.ask(sets(user="Eve")).all("set-cookie")
        assert len(backend) == 2
