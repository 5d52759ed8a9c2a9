"""`user_key`: a changed value is a sign-in, a removed one takes the user away."""

import logging
from typing import Any

import pytest

from coatcheck import ConfigurationError, ResponseStarted, Session
from coatcheck._session.draft import Draft, Found, Lost
from coatcheck._session.record import Marker, Tombstone
from coatcheck._session.user_key import enter, follow
from tests._session.scene import Change, Scene, acts_as, confirms, regenerates, sets, signs_in

KEY = "user_id"


@pytest.fixture
def scene() -> Scene:
    return Scene(user_key=KEY)


def serve(scene: Scene, id: str | None, *changes: Change) -> str | None:
    """Serve a request as a host does, and return what its cookie is to carry."""
    session = scene.read(id) if id else scene.new()
    for change in changes:
        change(session)
    return keep(scene, session)


def keep(scene: Scene, session: Session) -> str | None:
    draft = session._own
    follow(draft, KEY)
    if draft.changed:
        enter(draft, KEY)
    return scene.save(session)


def start(scene: Scene, *changes: Change, **values: Any) -> str:
    id = serve(scene, None, sets(**values), *changes)
    assert id
    return id


def user_of(scene: Scene, id: str | None) -> str | None:
    signed_in = scene.read(id or "").signed_in
    return signed_in.user if signed_in else None


@pytest.mark.parametrize(("value", "user"), [("ada", "ada"), (42, "42"), (0, "0")])
def test_another_value_is_a_sign_in(scene: Scene, value: Any, user: str) -> None:
    """With a new id; what the visitor collected stays."""
    id = start(scene, cart=["tea"])
    newer = serve(scene, id, sets(user_id=value))
    assert newer and newer != id
    assert user_of(scene, newer) == user
    assert dict(scene.read(newer)) == {"cart": ["tea"], KEY: value}
    assert isinstance(scene.at(id), Marker)


def test_the_same_value_again_is_nothing(scene: Scene) -> None:
    """Compared as text: 42 and "42" are one user."""
    id = start(scene, user_id=42)
    handle = scene.read(id).signed_in
    for again in (42, "42"):
        assert serve(scene, id, sets(user_id=again, page=1)) is None
    now = scene.read(id).signed_in
    assert handle and now and now.handle == handle.handle


def test_another_user_finds_nothing_of_the_former(scene: Scene) -> None:
    """But what the request wrote stays, also where it is what the former user left."""
    id = start(scene, user_id="ada", fresh=True, cart=["tea"])
    newer = serve(scene, id, sets(user_id="bob", fresh=True))
    assert newer and dict(scene.read(newer)) == {KEY: "bob", "fresh": True}


def test_what_was_written_again_and_removed_stays_removed(scene: Scene) -> None:
    """What counts is what the request leaves."""
    id = start(scene, user_id="ada", fresh=True)
    newer = serve(
        scene, id, sets(user_id="bob", fresh=True), lambda session: session.unset("fresh")
    )
    assert newer and dict(scene.read(newer)) == {KEY: "bob"}


@pytest.mark.parametrize("left", [None, ""])
def test_a_removed_user_leaves_a_visitor(scene: Scene, left: Any) -> None:
    """A new id; what the handler left stays, such as a flash."""
    id = start(scene, user_id="ada", theme="dark")
    newer = serve(
        scene, id, sets(user_id=left), lambda session: session.flash("notice", "Signed out.")
    )
    assert newer and newer != id
    found = scene.read(newer)
    assert found.signed_in is None
    assert (found["theme"], found["notice"]) == ("dark", "Signed out.")
    assert scene.marker(id).next_key == ""


def test_clear_takes_the_user_away(scene: Scene) -> None:
    """What is written after it stays."""
    id = start(scene, user_id="ada", theme="dark")
    newer = serve(scene, id, Session.clear, sets(notice="Signed out."))
    assert newer and dict(scene.read(newer)) == {"notice": "Signed out."}
    assert user_of(scene, newer) is None


def test_a_session_that_is_left_with_nothing_ends(scene: Scene) -> None:
    """As with destroy(): its cookie is removed, and a late request finds a tombstone."""
    id = start(scene, user_id="ada")
    assert serve(scene, id, Session.clear) == ""
    assert isinstance(scene.at(id), Tombstone)


def test_a_user_who_was_not_there_is_not_taken_away(scene: Scene) -> None:
    """An empty value is nobody, as a missing one."""
    id = start(scene, page=1)
    assert serve(scene, id, sets(user_id=None)) is None
    assert serve(scene, id, sets(user_id="")) is None


def test_what_a_former_user_left_goes_when_another_signs_in(scene: Scene) -> None:
    """And stays for the same user."""
    id = start(scene, user_id="ada", cart=["tea"])
    away = serve(scene, id, lambda session: session.unset(KEY))
    assert away
    again = serve(scene, away, sets(user_id="ada"))
    assert again and scene.read(again)["cart"] == ["tea"]
    away = serve(scene, again, lambda session: session.unset(KEY))
    assert away
    other = serve(scene, away, sets(user_id="bob"))
    assert other and "cart" not in scene.read(other)


def test_such_a_sign_in_is_fresh_after_confirm_alone(scene: Scene) -> None:
    """A cookie that remembers the user may have made it."""
    id = start(scene, user_id="ada")
    signed_in = scene.read(id).signed_in
    assert signed_in and not signed_in.is_fresh(3600)
    assert signed_in.signed_in_at.timestamp() == scene.clock()
    newer = serve(scene, id, confirms)
    signed_in = scene.read(newer or "").signed_in
    assert signed_in and signed_in.is_fresh(0)


def test_it_is_visible_in_the_same_request(scene: Scene) -> None:
    """`signed_in`, `confirm()` and `id` see the user that the key names."""
    session = scene.new()
    session[KEY] = "ada"
    session.confirm()
    assert session.signed_in and session.signed_in.user == "ada"
    assert session.signed_in.is_fresh(0)
    id = session.id
    assert keep(scene, session) == id


def test_a_user_who_is_taken_away_and_comes_back_in_one_request_is_signed_in(scene: Scene) -> None:
    """Also if something looked in between."""
    session = scene.read(start(scene, user_id="ada"))
    session.unset(KEY)
    session["page"] = 1
    assert session.signed_in is None
    assert session.signed_in is None
    session[KEY] = "ada"
    assert user_of(scene, keep(scene, session)) == "ada"


def test_an_explicit_sign_in_is_as_good(scene: Scene) -> None:
    """The same user in both: one sign-in, fresh, with what it was given."""
    id = start(scene, sets(user_id="ada"), signs_in("ada", label="Firefox"))
    signed_in = scene.read(id).signed_in
    assert signed_in and signed_in.label == "Firefox" and signed_in.is_fresh(0)


@pytest.mark.parametrize("change", [signs_in("bob"), acts_as("bob")])
def test_an_explicit_change_takes_the_key_of_the_former_user_with_it(
    scene: Scene, change: Change
) -> None:
    """That is no sign-out of the new one."""
    id = start(scene, user_id="ada")
    assert user_of(scene, serve(scene, id, change)) == "bob"


def test_a_removed_user_outdoes_a_new_id(scene: Scene) -> None:
    """As Django's and others' ways to sign out change both."""
    id = start(scene, user_id="ada", theme="dark")
    newer = serve(scene, id, regenerates, lambda session: session.unset(KEY))
    assert user_of(scene, newer) is None
    assert scene.marker(id).next_key == ""


@pytest.mark.parametrize("value", [["ada"], {"id": 1}, True, 1.5])
def test_what_is_no_user_is_refused(scene: Scene, value: Any) -> None:
    """The message names the option, the type, and what to do."""
    with pytest.raises(ConfigurationError, match=r"user_key='user_id' must be .* got a \w+: keep"):
        serve(scene, None, sets(user_id=value))


def test_a_change_after_the_headers_is_loud(scene: Scene) -> None:
    """The new id could not reach the client."""
    for change in (sets(user_id="bob"), lambda session: session.unset(KEY)):
        session = scene.read(start(scene, user_id="ada", theme="dark"))
        session._own.reach = "record"
        change(session)
        with pytest.raises(ResponseStarted, match=r"user in session\['user_id'\]"):
            follow(session._own, KEY)


def test_a_session_that_was_only_read_is_left_alone(scene: Scene) -> None:
    """And so is one that was destroyed."""
    id = start(scene, user_id="ada")
    session = scene.read(id)
    follow(session._own, KEY)
    assert not session.modified
    session.destroy()
    follow(session._own, KEY)
    assert session.destroyed


def test_a_session_from_before_is_entered_with_its_next_write(scene: Scene) -> None:
    """The id stays; the sign-in counts as old as the session."""
    id = scene.stored(user_id=42)
    began = scene.clock()
    scene.clock.advance(60)
    assert serve(scene, id, sets(page=1)) is None
    signed_in = scene.read(id).signed_in
    assert signed_in and signed_in.user == "42" and signed_in.handle
    assert signed_in.signed_in_at.timestamp() == began
    assert not signed_in.is_fresh(3600)


def test_of_two_entries_at_once_the_first_stays(scene: Scene) -> None:
    """Both requests keep what they wrote."""
    id = scene.stored(user_id=42)
    first, second = scene.read(id), scene.read(id)
    first["a"] = second["b"] = 1
    keep(scene, first)
    handle = scene.read(id).signed_in
    keep(scene, second)
    found = scene.read(id)
    assert handle and found.signed_in and found.signed_in.handle == handle.handle
    assert found["a"] == found["b"] == 1


@pytest.mark.parametrize("value", [["ada"], "", None, True])
def test_a_session_from_before_without_a_user_is_not_entered(scene: Scene, value: Any) -> None:
    """What another version of the application left there is no error of this request."""
    id = scene.stored(user_id=value, page=0)
    serve(scene, id, sets(page=1))
    assert scene.record(id).body.who is None


def test_a_user_from_before_is_taken_away_as_well(scene: Scene) -> None:
    """An old id ends nothing then, and what was left goes when another user signs in."""
    id = scene.stored(user_id=42, cart=1)
    away = serve(scene, id, lambda session: session.unset(KEY))
    assert away and scene.marker(id).next_key == ""
    assert scene.record(away).body.who is not None
    other = serve(scene, away, sets(user_id=43))
    assert other and "cart" not in scene.read(other)


@pytest.mark.parametrize("ends", [Session.destroy, regenerates])
def test_a_sign_in_on_a_session_that_ended_meanwhile_keeps_its_key(
    scene: Scene, ends: Change
) -> None:
    """The application goes by the key, and the session of its own must tell the same user."""
    id = start(scene, user_id="ada", theme="dark")
    session = scene.read(id)
    serve(scene, id, ends)
    session[KEY] = "bob"
    session["theme"] = "light"
    session["page"] = 1
    newer = keep(scene, session)
    assert newer and user_of(scene, newer) == "bob"
    assert dict(scene.read(newer)) == {KEY: "bob", "page": 1}


def test_a_sign_in_beside_another_value_does_not_keep_that(scene: Scene) -> None:
    """What the former user left there would be the former user's."""
    id = start(scene, user_id="ada")
    session = scene.read(id)
    serve(scene, id, Session.destroy)
    signs_in("bob")(session)
    newer = scene.save(session)
    assert newer and user_of(scene, newer) == "bob"
    assert dict(scene.read(newer)) == {}


def test_a_storage_of_ones_own_gets_a_new_id(scene: Scene) -> None:
    """It shows no record, so a change of the key is what the request did to it."""
    id = scene.stored(page=1)
    for change, by in ((sets(user_id=2), "sign_in"), (Session.clear, "leave")):
        session = Session({KEY: 1, "page": 1}, id=id)
        session._own.terms = scene.terms
        session["page"] = 2
        follow(session._own, KEY)
        assert session._draft.fate == "stays"
        change(session)
        session["page"] = 3
        for _ in range(2):  # the second time it is done
            follow(session._own, KEY)
            assert getattr(session._draft.fate, "by", None) == by
        assert session.id != id


def test_a_user_taken_away_and_a_sign_out_leave_no_session(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """The request that loses the race ends what the marker leads to, or goes on as a visitor."""
    id = start(scene, user_id="ada", theme="dark")
    first, second = scene.read(id), scene.read(id)
    first.destroy()
    keep(scene, first)
    second.unset(KEY)
    second["notice"] = "Signed out."
    with caplog.at_level(logging.WARNING):
        left = keep(scene, second)
    assert left and dict(scene.read(left)) == {"notice": "Signed out."}
    assert isinstance(scene.at(id), Tombstone)


def test_a_request_that_lost_its_session_stays_without(scene: Scene) -> None:
    """Nothing is read of it, so nothing is taken away."""
    session = scene.new()
    session._own.origin = Lost("another request ended it")
    session._own.touched = True
    follow(session._own, KEY)
    enter(session._own, KEY)
    assert session._draft.fate == "stays" and not isinstance(session._draft.origin, Found)
    assert isinstance(session._draft, Draft)
