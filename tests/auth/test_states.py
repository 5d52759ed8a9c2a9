"""What a scheme answers, and the state that a handler reads."""

import pytest

from coatcheck.auth import ApiKeyScheme, Auth, BearerScheme, SessionScheme, Success
from tests.auth.sites import Fixed, site, who


@pytest.mark.parametrize("identity", [0, "", [], False])
def test_an_identity_may_be_anything_but_none(identity: object) -> None:
    """A user with the number 0 is a user."""
    assert who(site(Fixed("a", Success(identity)))) == [True, identity, "a", None]
    schemes = (
        SessionScheme(read=lambda _session: 7, verify=lambda _value: identity),
        BearerScheme(verify=lambda _token: identity),
        ApiKeyScheme(verify=lambda _key: identity),
    )
    for scheme in schemes:
        assert who(site(scheme), {"authorization": "Bearer t", "x-api-key": "k"})[0], scheme.name


def test_no_repr_shows_the_identity() -> None:
    """It may end up in a log."""
    assert "ada" not in repr([Success("ada"), Auth(ok=True, identity="ada")])
