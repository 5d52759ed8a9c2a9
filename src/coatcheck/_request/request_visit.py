"""The facts of a request that comes as an object, as Flask, Quart and aiohttp hand it out."""

from typing import Protocol

from coatcheck._request.visit import Visit


class Fields(Protocol):
    """The headers of a request; their names have no case."""

    def get(self, name: str, default: str, /) -> str: ...


class Request(Protocol):
    """The parts of a request that a visit reads."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def scheme(self) -> str: ...
    @property
    def headers(self) -> Fields: ...


class RequestVisit(Visit):
    """A request, as its framework tells of it."""

    def __init__(self, request: Request) -> None:
        self._facts = request

    @property
    def method(self) -> str:
        return self._facts.method

    @property
    def path(self) -> str:
        return self._facts.path

    @property
    def scheme(self) -> str:
        return self._facts.scheme

    @property
    def host(self) -> str:
        return self.header("host")

    def header(self, name: str) -> str:
        return self._facts.headers.get(name, "")
