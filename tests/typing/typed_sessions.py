"""What type checkers make of typed sessions: mypy and pyright read this, and nobody runs it."""

from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict, assert_type

import msgspec
from fastapi import Depends
from pydantic import BaseModel
from starlette.requests import Request

from coatcheck import Context, Cookie, Schema, Session, SessionStorage, asgi, session, wsgi


@dataclass
class Visit:
    cart: list[int] = field(default_factory=list[int])
    user: str | None = None


class Packed(msgspec.Struct):
    cart: list[int] = []
    user: str | None = None


class Keys(TypedDict, total=False):
    cart: list[int]
    user: str


class Checked(BaseModel):
    cart: list[int] = []
    user: str | None = None


def a_dataclass(session: Session[Visit]) -> None:
    assert_type(session.data, Visit)
    assert_type(session.data.cart, list[int])
    assert_type(session.data.user, str | None)
    session.data.cart.append("7")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    session.data.user = 7  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    session.data.crat = 1  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    session.data = Visit(user="ada")
    session.data = Packed()  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]


def a_struct(session: Session[Packed]) -> None:
    assert_type(session.data.cart, list[int])
    session.data.crat = 1  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def a_typed_dict(session: Session[Keys]) -> None:
    assert_type(session.data.get("cart"), list[int] | None)
    session.data["user"] = "ada"
    session.data["user"] = 7  # type: ignore[typeddict-item]  # pyright: ignore[reportGeneralTypeIssues]
    session.data["crat"] = 1  # type: ignore[typeddict-unknown-key]  # pyright: ignore[reportGeneralTypeIssues]


def a_pydantic_model(session: Session[Checked]) -> None:
    assert_type(session.data.user, str | None)
    session.data.crat = 1  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def from_a_request(request: Request) -> Session[Visit]:
    found = Context(request.scope).get(Session[Visit])
    assert_type(found, Session[Visit])
    return found


def a_fastapi_handler(visit: Annotated[Session[Visit], Depends(from_a_request)]) -> list[int]:
    return visit.data.cart


def without_a_model(session: Session) -> None:
    assert_type(session.data, Any)
    assert_type(session["cart"], Any)
    session.crat = 1  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def the_rest_stays(session: Session[Visit]) -> dict[str, Any]:
    session.flash("notice", "Saved.")
    session.regenerate_id()
    return dict(session)


def upgrade(values: dict[str, Any], version: int) -> dict[str, Any]:
    return values if version > 1 else {**values, "cart": []}


def models(cookie: Cookie, storage: SessionStorage, app: asgi.ASGIApp, plain: wsgi.WSGIApp) -> None:
    session(cookie, storage, data=Visit)
    session(cookie, storage, data=Packed)
    session(cookie, storage, data=Keys)
    session(cookie, storage, data=Checked)
    assert_type(Schema(Visit, version=2, upgrade=upgrade), Schema[Visit])
    session(cookie, storage, data=Schema(Keys, version=2, upgrade=upgrade))
    asgi.SessionMiddleware(app, cookie, storage, data=Visit)
    wsgi.SessionMiddleware(plain, cookie, storage, data=Schema(Visit))
    session(cookie, storage, data=Visit())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Schema(Visit, version="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Storage:
    """A storage of bare sessions serves typed ones too."""

    def read(self, value: str | None) -> Session:
        return Session({"value": value})

    def save(self, session: Session) -> str | None:
        return str(session["value"]) if session.modified else None


def a_storage(cookie: Cookie) -> None:
    session(cookie, Storage(), data=Visit)
