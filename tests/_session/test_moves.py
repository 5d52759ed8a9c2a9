"""Changing the id: what goes along, and what the old id is still good for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck._session.ids import is_id, key_of, new_id, tag_of
from coatcheck._session.moves import (
    HUSH,
    ROTATES,
    By,
    MoveInPlace,
    Moves,
    carried_away,
    closed,
    is_hushed,
    joined_id,
    marker_of,
    moved,
    outdoes,
    rotated_id,
)
from coatcheck._session.record import GRACE, Contents, Marker, Who
from coatcheck._session.values import encode

OLD, NEW = new_id(), new_id()
NOW = 1000.0

ADA, BOB = Who("ada"), Who("bob")
GONE = Who(former="ada")
ACTING = Who("bob", actor="ada")


@pytest.mark.parametrize(
    ("by", "name"),
    [
        ("rotate", "a rotation of the id"),
        ("regenerate", "regenerate_id()"),
        ("sign_in", "sign_in()"),
        ("stop_acting", "stop_acting()"),
        ("leave", "taking the user away"),
    ],
)
def test_a_move_has_the_name_of_what_the_handler_called(by: By, name: str) -> None:
    """Errors and the page of the demo show it."""
    assert Moves(by).name == name


def body(who: Who | None = None) -> Contents:
    """Return what a session holds: a value and a flash."""
    cart = encode("cart", [1])
    return Contents({"cart": cart, "theme": cart}, {"notice": cart}, who, csrf=b"before")


def marker(move: Moves, who: Who | None = None) -> Marker:
    """Return the marker that a session leaves behind, in which this user was signed in."""
    return marker_of(
        move, body(who), old=OLD, old_key=key_of(OLD), new=NEW, new_key=key_of(NEW), now=NOW
    )


# What goes along


@pytest.mark.parametrize("by", ["rotate", "regenerate"])
def test_everything_goes_along_to_a_new_id(by: By) -> None:
    """The user too; the CSRF value changes where the move brings one."""
    assert moved(Moves(by), body(ADA)) == body(ADA)
    assert moved(Moves(by, csrf=b"after"), body()).csrf == b"after"


def test_what_goes_along_is_a_copy() -> None:
    """Another request may hold what was read."""
    read = body(ADA)
    moved(ROTATES, read).values.clear()
    assert read == body(ADA)


@pytest.mark.parametrize(
    ("move", "before", "stays"),
    [
        (Moves("sign_in", ADA), None, True),
        (Moves("sign_in", ADA), ADA, True),
        (Moves("sign_in", ADA), GONE, True),
        (Moves("sign_in", ADA), Who(), True),
        (Moves("confirm", ADA), ADA, True),
        (Moves("leave", GONE), ADA, True),
        (Moves("sign_in", BOB), ADA, False),
        (Moves("sign_in", BOB), GONE, False),
        (Moves("sign_in", BOB), ACTING, False),
        (Moves("act_as", ACTING), ADA, False),
        (Moves("stop_acting", ADA), ACTING, False),
    ],
    ids=lambda value: getattr(value, "by", None) or getattr(value, "user", None),
)
def test_what_was_left_stays_with_its_user(move: Moves, before: Who | None, *, stays: bool) -> None:
    """A visitor's goes along to any user; what one user left never goes along to another."""
    after = moved(move, body(before))
    assert after.who == move.who
    assert bool(after.values) is bool(after.flashes) is stays


def test_named_keys_stay_for_another_user() -> None:
    """`keep` names them, values and flashes."""
    after = moved(Moves("sign_in", BOB, keep=frozenset({"theme", "notice"})), body(ADA))
    assert (list(after.values), list(after.flashes)) == (["theme"], ["notice"])


@pytest.mark.parametrize("before", [None, ADA])
def test_nothing_stays_where_nothing_is_to_be_kept(before: Who | None) -> None:
    """`keep=False`, whoever had it."""
    after = moved(Moves("sign_in", ADA, keep=None), body(before))
    assert (after.values, after.flashes) == ({}, {})


def test_a_sign_in_outdoes_a_new_id() -> None:
    """Of two moves in one request the later one counts, unless the earlier one does more."""
    weak, strong = (ROTATES, Moves("regenerate")), (Moves("sign_in", ADA), Moves("confirm", ADA))
    assert all(outdoes(move, newer) for move in strong for newer in weak)
    assert not any(outdoes(move, newer) for move in weak for newer in (*weak, *strong))
    assert not any(outdoes(move, newer) for move in strong for newer in strong)


# What the old id is still good for


def test_a_marker_belongs_to_the_old_key() -> None:
    """It stays for the grace."""
    left = marker(Moves("regenerate"))
    assert (left.tag, left.expires) == (tag_of(key_of(OLD)), NOW + GRACE)


@pytest.mark.parametrize(
    ("move", "before", "leads"),
    [
        (ROTATES, ADA, True),
        (Moves("regenerate"), None, True),
        (Moves("confirm", ADA), ADA, True),
        (Moves("sign_in", ADA), ADA, True),
        (Moves("act_as", ACTING), ADA, True),
        (Moves("stop_acting", ADA), ACTING, True),
        (Moves("sign_in", ADA), None, False),
        (Moves("sign_in", BOB), ADA, False),
        (Moves("leave", GONE), ADA, False),
    ],
    ids=lambda value: getattr(value, "by", None) or getattr(value, "user", None),
)
def test_a_sign_out_with_the_old_id_follows_the_account(
    move: Moves, before: Who | None, *, leads: bool
) -> None:
    """Who held the old id can end the same account's session, and no other user's."""
    assert marker(move, before).next_key == (key_of(NEW) if leads else "")


def test_any_request_follows_a_rotation() -> None:
    """It goes on under the new id."""
    left = marker(ROTATES, ADA)
    assert left.kind == "rotation"
    assert rotated_id(left, OLD, NOW) == NEW
    assert joined_id(left, OLD, Moves("sign_in", ADA)) is None


@pytest.mark.parametrize(
    ("move", "before"),
    [
        (Moves("regenerate"), None),
        (Moves("regenerate"), ADA),
        (Moves("confirm", ADA), ADA),
        (Moves("sign_in", ADA), None),
        (Moves("leave", GONE), ADA),
    ],
    ids=lambda value: getattr(value, "by", None) or getattr(value, "user", None),
)
def test_no_request_follows_another_change_of_id(move: Moves, before: Who | None) -> None:
    """The id was changed because somebody else may know the old one."""
    assert rotated_id(marker(move, before), OLD, NOW) is None
    assert rotated_id(closed(key_of(OLD), NOW), OLD, NOW) is None


@pytest.mark.parametrize(
    ("move", "joins"),
    [
        (Moves("sign_in", ADA), Moves("sign_in", ADA)),
        (Moves("sign_in", ADA), Moves("confirm", ADA)),
        (Moves("confirm", ADA), Moves("sign_in", ADA)),
        (Moves("act_as", ACTING), Moves("act_as", ACTING)),
        (Moves("stop_acting", ADA), Moves("stop_acting", ADA)),
    ],
)
def test_the_same_sign_in_joins(move: Moves, joins: Moves) -> None:
    """A double click makes one session: the marker opens for the call and the user."""
    assert joined_id(marker(move, ADA), OLD, joins) == NEW


@pytest.mark.parametrize(
    ("move", "other"),
    [
        (Moves("sign_in", ADA), Moves("sign_in", BOB)),
        (Moves("act_as", ACTING), Moves("act_as", Who("carl", actor="ada"))),
        (Moves("act_as", ACTING), Moves("sign_in", BOB)),
    ],
)
def test_another_sign_in_does_not_join(move: Moves, other: Moves) -> None:
    """The marker opens as an id that was never issued."""
    found = joined_id(marker(move, ADA), OLD, other)
    assert found is not None
    assert is_id(found)
    assert found != NEW


@pytest.mark.parametrize("move", [Moves("regenerate"), Moves("leave", GONE), ROTATES])
def test_what_names_no_user_neither_joins_nor_is_joined(move: Moves) -> None:
    """A new id, or a user taken away, is no reason to go on under anybody's new id."""
    assert joined_id(marker(Moves("sign_in", ADA), None), OLD, Moves("regenerate")) is None
    assert joined_id(marker(move, ADA), OLD, Moves("sign_in", ADA)) is None


@pytest.mark.parametrize(("who", "kind"), [(None, "visitor"), (GONE, "visitor"), (ADA, "other")])
def test_a_marker_tells_a_visitors_new_id(who: Who | None, kind: str) -> None:
    """Two clicks on "sign in" at once then make two sessions, and lose none."""
    assert marker(Moves("regenerate"), who).kind == kind


def test_the_browser_is_about_to_get_the_new_cookie_for_a_minute() -> None:
    """In it, a request with the old id keeps nothing, and sends no cookie over the new one."""
    left = marker(Moves("regenerate"))
    assert is_hushed(left, NOW)
    assert is_hushed(left, NOW + HUSH - 1)
    assert not is_hushed(left, NOW + HUSH)


@pytest.mark.parametrize(("who", "kind"), [(None, "visitor"), (GONE, "visitor"), (ADA, "other")])
def test_a_session_that_a_cookie_carries_away_leaves_a_marker(who: Who | None, kind: str) -> None:
    """It names its own key: the id goes on, in the cookie alone, and no request follows."""
    left = carried_away(key_of(OLD, "shop:"), body(who), NOW)
    assert (left.tag, left.next_key, left.kind) == (tag_of(key_of(OLD)), key_of(OLD), kind)
    assert rotated_id(left, OLD, NOW) is None
    assert joined_id(left, OLD, Moves("sign_in", ADA)) is None


def test_a_closed_marker_leads_nowhere() -> None:
    """Neither a sign-out nor any request."""
    left = closed(key_of(OLD), NOW)
    assert (left.next_key, left.sealed_id, left.kind) == ("", b"", "other")
    assert joined_id(left, OLD, Moves("sign_in", ADA)) is None


@given(user=st.text(min_size=1), other=st.text(min_size=1))
def test_only_the_user_who_signed_in_joins(user: str, other: str) -> None:
    """Whatever characters a user's text has."""
    left = marker(Moves("sign_in", Who(user)))
    assert (joined_id(left, OLD, Moves("sign_in", Who(other))) == NEW) is (user == other)


def test_no_repr_shows_the_user() -> None:
    """Who is signed in is nobody's business in a log."""
    assert repr(Moves("sign_in", Who("hunter2"))) == "<Moves>"


def test_a_move_in_place_has_the_name_of_its_call() -> None:
    """It is the step of a log, and errors name it."""
    assert MoveInPlace(Moves("confirm", ADA)).name == Moves("confirm", ADA).name
