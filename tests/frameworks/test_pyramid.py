"""Pyramid: `request.session` as its documentation has it, over a session of ours."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from pyramid.config import Configurator
from pyramid.csrf import get_csrf_token, new_csrf_token
from pyramid.httpexceptions import HTTPFound
from pyramid.interfaces import ISession
from pyramid.request import Request
from pyramid.response import Response
from pyramid.scripting import prepare
from zope.interface.verify import verifyObject

from coatcheck import ConfigurationError, Session, Users, session
from coatcheck.csrf import csrf_token
from coatcheck.frameworks.pyramid import PyramidSession
from coatcheck.storage import CookieStorage, MemoryStorage, SessionStorage
from coatcheck.testing import SessionKit
from tests.frameworks.visits import ITEM, URL, add, visit
from tests.hosts import COOKIE


@dataclass
class Visit:
    """What a session holds, for the test of typed ones."""

    cart: list[str] = field(default_factory=list)


def add_page(request: Any) -> list[str]:
    return add(request.session, request.matchdict["item"])


def cart_page(request: Any) -> Any:
    return request.session.get("cart")


def empty_page(request: Any) -> dict[str, Any]:
    request.session.pop("cart")
    request.session["notice"] = "Emptied."
    return dict(request.session)


def template_page(request: Any) -> Any:
    return Response(ITEM.render(session=request.session))


def out_page(request: Any) -> Any:
    request.session.invalidate()


def failing_page(request: Any) -> Any:
    request.session["lost"] = True
    raise LookupError


PAGES = {
    "/add/{item}": add_page,
    "/cart": cart_page,
    "/empty": empty_page,
    "/template": template_page,
    "/out": out_page,
    "/fail": failing_page,
}


@contextmanager
def client_of(
    storage: SessionStorage,
    pages: dict[str, Any] | None = None,
    *,
    data: type[Any] | None = None,
    users: Users | None = None,
    **options: Any,
) -> Iterator[httpx.Client]:
    """Open a client of an application with these pages; options are those of its views."""
    with Configurator() as config:
        config.include("coatcheck.frameworks.pyramid")
        for path, view in {**PAGES, **(pages or {})}.items():
            config.add_route(path, path)
            config.add_view(view, route_name=path, renderer="json", **options)
        config.add_exception_view(lambda _, __: Response(status=500), context=LookupError)
    app = session(COOKIE, storage, data=data, users=users).wsgi(config.make_wsgi_app())
    with httpx.Client(transport=httpx.WSGITransport(app), base_url=URL) as client:
        yield client


@pytest.fixture(params=[MemoryStorage, CookieStorage])
def storage(request: pytest.FixtureRequest) -> SessionStorage:
    made: SessionStorage = request.param()
    return made


def test_a_visit(storage: SessionStorage) -> None:
    """`config.include`, and `request.session` works like the dict it was."""
    with client_of(storage) as client:
        visit(client)


def test_what_pyramid_asks_of_a_session() -> None:
    """Its interface, method by method."""

    def page(request: Any) -> Any:
        held = request.session
        assert verifyObject(ISession, held)
        assert held.new
        assert abs(held.created - time.time()) < 60
        held["cart"] = []
        held["cart"].append("coat")
        held.changed()
        assert "cart" in held and len(held) == 1

    def again(request: Any) -> Any:
        assert not request.session.new
        assert isinstance(request.session.created, int)
        return request.session["cart"]

    with client_of(MemoryStorage(), {"/page": page, "/again": again}) as client:
        client.get("/page")
        assert client.get("/again").json() == ["coat"]


def test_flash_messages_are_queues() -> None:
    """They are there at once and until they are popped, one queue beside another."""

    def leave(request: Any) -> Any:
        request.session.flash("one")
        request.session.flash("two")
        request.session.flash("two", allow_duplicate=False)
        request.session.flash("bad", "errors")
        return request.session.peek_flash()

    def show(request: Any) -> Any:
        return [request.session.pop_flash(), request.session.pop_flash("errors")]

    with client_of(MemoryStorage(), {"/leave": leave, "/show": show}) as client:
        assert client.get("/leave").json() == ["one", "two"]
        assert client.get("/show").json() == [["one", "two"], ["bad"]]
        assert client.get("/show").json() == [[], []]


def test_an_emptied_queue_leaves_nothing() -> None:
    """No key; and a session that held nothing else is gone, with its cookie."""
    held = Session()
    facing(held).flash("one")
    facing(held).flash("bad", "errors")
    assert facing(held).pop_flash() == ["one"]
    assert dict(held) == {"_f_errors": ["bad"]}

    def leave(request: Any) -> Any:
        request.session.flash("one")

    def show(request: Any) -> Any:
        return request.session.pop_flash()

    with client_of(MemoryStorage(), {"/leave": leave, "/show": show}) as client:
        client.get("/leave")
        assert client.cookies
        assert client.get("/show").json() == ["one"]
        assert not client.cookies


def test_a_message_that_was_put_into_the_list_by_hand_is_shown() -> None:
    """As one that `flash` left, and it is taken away with it."""
    held = Session()
    facing(held).flash("one")
    held["_f_"].append("two")
    assert facing(held).pop_flash() == ["one", "two"]
    assert dict(held) == {}


def test_a_message_that_comes_while_others_are_shown_is_not_lost() -> None:
    """Popping takes away what was shown and nothing else."""
    storage = MemoryStorage()
    kit, jar = SessionKit(COOKIE, storage), dict[str, str]()
    kit.put(jar, _f_=["one"])
    with kit.session(jar) as held:
        shown = facing(held)
        facing_other(kit, jar, "two")
        assert shown.pop_flash() == ["one"]
    assert kit.read(jar)["_f_"] == ["two"]


def facing(held: Session) -> PyramidSession:
    environ: dict[str, Any] = {"coatcheck.session": held}
    return PyramidSession(type("Request", (), {"environ": environ}))


def facing_other(kit: SessionKit, jar: dict[str, str], message: str) -> None:
    with kit.session(jar) as held:
        facing(held).flash(message)


def test_an_invalidated_session_may_be_used() -> None:
    """What comes after goes into a session with another id, and nothing of the old one is left."""

    def renew(request: Any) -> Any:
        request.session.invalidate()
        request.session["user"] = "bob"

    storage = MemoryStorage()
    kit = SessionKit(COOKIE, storage)
    with client_of(storage, {"/renew": renew}) as client:
        kit.put(client, user="ada", cart=[])
        before = kit.read(client).id
        client.get("/renew")
        assert kit.read(client) == {"user": "bob"}
        assert kit.read(client).id != before


def test_a_session_that_is_cleared_ends() -> None:
    """Many applications sign out so."""

    def leave(request: Any) -> Any:
        request.session.clear()

    with client_of(MemoryStorage(), {"/leave": leave}) as client:
        client.get("/add/coat")
        client.get("/leave")
        assert not client.cookies


def test_more_than_pyramid_has_a_word_for() -> None:
    """`apply`, `regenerate_id`, `destroy`, and the session behind it as `own`."""

    def count(request: Any) -> Any:
        request.session.regenerate_id()
        return request.session.apply("n", lambda n: n + 1, 0)

    def out(request: Any) -> Any:
        request.session.destroy()
        return request.session.own.destroyed

    with client_of(MemoryStorage(), {"/count": count, "/leave": out}) as client:
        assert client.get("/count").json() == 1
        before = client.cookies[COOKIE.name]
        assert client.get("/count").json() == 2
        assert client.cookies[COOKIE.name] != before
        assert client.get("/leave").json() is True
        assert not client.cookies


def test_a_page_of_devices_knows_its_own() -> None:
    """`request.session` is that of the request for every method of `Users`."""
    storage = MemoryStorage()
    users = Users(COOKIE, storage)

    def enter(request: Any) -> Any:
        request.session.own.sign_in("ada")

    def devices(request: Any) -> Any:
        listed = users.sessions_of("ada", current=request.session)
        return [each.is_current for each in listed], users.end_others(request.session)

    pages = {"/in": enter, "/devices": devices}
    with (
        client_of(storage, pages, users=users) as client,
        client_of(storage, pages, users=users) as other,
    ):
        client.get("/in")
        other.get("/in")
        current, ended = client.get("/devices").json()
        assert (sorted(current), ended) == ([False, True], 1)
        assert client.get("/devices").json() == [[True], 0]
    with pytest.raises(TypeError, match="session must be that of a request, got str"):
        users.end_others("ada")  # type: ignore[arg-type]


def csrf_pages() -> dict[str, Any]:
    def form(request: Any) -> Any:
        return get_csrf_token(request)

    def another(request: Any) -> Any:
        return new_csrf_token(request)

    def send(request: Any) -> Any:
        return request.method

    return {"/form": form, "/another": another, "/send": send}


def test_csrf_tokens() -> None:
    """`require_csrf` refuses a form without the token of this session, and writes nothing."""
    storage = MemoryStorage()
    with client_of(storage, csrf_pages(), require_csrf=True) as client:
        client.headers["referer"] = URL
        assert client.post("/send").status_code == 400
        assert not client.cookies
        token = client.get("/form").json()
        assert client.post("/send", data={"csrf_token": token}).json() == "POST"
        assert client.post("/send", headers={"x-csrf-token": token}).json() == "POST"
        assert client.post("/send", data={"csrf_token": f"{token}é"}).status_code == 400
        newer = client.get("/another").json()
        assert newer != token
        assert client.post("/send", data={"csrf_token": token}).status_code == 400
        assert client.post("/send", data={"csrf_token": newer}).json() == "POST"


def test_the_token_is_that_of_the_session() -> None:
    """`coatcheck.csrf` and Pyramid agree."""
    storage = MemoryStorage()
    with client_of(storage, csrf_pages()) as client:
        token = client.get("/form").json()
        assert token == csrf_token(SessionKit(COOKIE, storage).read(client))


def test_a_redirect_that_is_raised_saves() -> None:
    """An exception that is a response is one."""

    def sign_in(request: Any) -> Any:
        request.session["cart"] = ["coat"]
        raise HTTPFound("/cart")

    with client_of(MemoryStorage(), {"/in": sign_in}) as client:
        assert client.get("/in", follow_redirects=True).json() == ["coat"]


def test_a_stream_is_saved_at_its_end() -> None:
    """What `app_iter` changes late, if the client has a session on the server."""

    def stream(request: Any) -> Any:
        def parts() -> Iterator[bytes]:
            yield b"one"
            request.session["cart"] = ["late"]
            yield b"two"

        return Response(app_iter=parts())

    with client_of(MemoryStorage(), {"/stream": stream}) as client:
        client.get("/add/coat")
        assert client.get("/stream").text == "onetwo"
        assert client.get("/cart").json() == ["late"]


def test_an_application_that_is_not_wrapped_says_so() -> None:
    """A ConfigurationError, at the first request that asks for the session."""
    with Configurator() as config:
        config.include("coatcheck.frameworks.pyramid")
        config.add_route("cart", "/cart")
        config.add_view(cart_page, route_name="cart", renderer="json")
    transport = httpx.WSGITransport(config.make_wsgi_app())
    with (
        httpx.Client(transport=transport, base_url=URL) as client,
        pytest.raises(ConfigurationError, match="no Session"),
    ):
        client.get("/cart")


def test_a_subrequest_says_that_it_has_no_session() -> None:
    """It has an environ of its own; a session there that nothing saves would lose what is set."""

    def page(request: Any) -> Any:
        with pytest.raises(ConfigurationError, match=r"no Session: .* A subrequest or a script"):
            request.invoke_subrequest(Request.blank("/cart"))

    with client_of(MemoryStorage(), {"/page": page}) as client:
        assert client.get("/page").status_code == 200


def test_a_subrequest_may_be_given_the_session() -> None:
    """It is that of the request that makes it, and saved with that."""

    def page(request: Any) -> Any:
        inner = Request.blank("/add/coat")
        inner.environ["coatcheck.session"] = request.environ["coatcheck.session"]
        request.invoke_subrequest(inner)
        return request.session["cart"]

    with client_of(MemoryStorage(), {"/page": page}) as client:
        assert client.get("/page").json() == ["coat"]
        assert client.get("/cart").json() == ["coat"]


def test_a_script_may_be_given_a_session_that_nothing_saves() -> None:
    """`prepare` makes a request without a server."""
    with Configurator() as config:
        config.include("coatcheck.frameworks.pyramid")
        config.commit()
    with prepare(registry=config.registry) as env:
        request = env["request"]
        with pytest.raises(ConfigurationError, match="script"):
            _ = request.session
        request.environ["coatcheck.session"] = Session()
        request.session["user"] = "ada"
        assert request.session["user"] == "ada"


def test_the_kit_signs_a_client_in(storage: SessionStorage) -> None:
    """As everywhere."""
    kit = SessionKit(COOKIE, storage)
    with client_of(storage) as client:
        kit.put(client, cart=["coat"])
        assert client.get("/add/hat").json() == ["coat", "hat"]
        assert kit.read(client) == {"cart": ["coat", "hat"]}


def test_a_typed_session() -> None:
    """`session(..., data=Visit)`; `request.session.own` has the data."""

    def page(request: Any) -> list[str]:
        held: Session[Visit] = request.session.own
        held.data.cart.append("coat")
        return held.data.cart

    with client_of(MemoryStorage(), {"/page": page}, data=Visit) as client:
        client.get("/page")
        assert client.get("/page").json() == ["coat", "coat"]
