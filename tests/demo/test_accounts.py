"""The passwords of the demo's visitors."""

from coatcheck.demo import accounts
from coatcheck.demo.accounts import PASSWORD, Accounts


def test_everybody_has_the_password_of_the_page_until_they_change_it() -> None:
    """For one name alone, and the pin of its sign-ins changes."""
    shop = Accounts()
    assert shop.is_right("Ada", PASSWORD) and not shop.is_right("Ada", "another one")
    assert not shop.is_right("", PASSWORD)
    before = shop.pin("Ada")
    assert shop.change("Ada", "another one")
    assert shop.is_right("Ada", "another one") and not shop.is_right("Ada", PASSWORD)
    assert shop.is_right("Bob", PASSWORD)
    assert shop.pin("Ada") != before == shop.pin("Bob")


def test_the_names_with_another_password_are_limited() -> None:
    """A demo must not fill the memory; who has one may change it again."""
    shop = Accounts()
    for number in range(accounts.MOST):
        assert shop.change(str(number), "x")
    assert not shop.change("one more", "x")
    assert shop.change("0", "y")
