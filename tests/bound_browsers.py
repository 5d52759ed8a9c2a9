"""A browser that binds sessions, without a browser: it does what Chromium was seen to do."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from coatcheck import Session
from coatcheck._request.visit import Answer, Changes, Visit
from tests._request.visits import DictVisit
from tests.devices import Key

ITSELF = {
    "method": "POST",
    "sec-fetch-site": "same-origin",
    "sec-fetch-mode": "no-cors",
    "sec-fetch-dest": "empty",
    "content-length": "0",
}
"""What Chromium's own requests are like."""

REGISTER, REFRESH = "/_session/register", "/_session/refresh"

Handler = Callable[[Session], object]


class PlainShell(Protocol):
    """A shell whose methods are plain."""

    def read(self, visit: Visit) -> Answer | None: ...
    def leave(self, visit: Visit) -> Changes: ...
    def end(self, visit: Visit) -> None: ...


def looks(session: Session) -> object:
    """Return who is signed in."""
    return session.signed_in.user if session.signed_in else None


@dataclass
class BoundBrowser:
    """
    A browser with a key.

    Attributes:
        cookies: What it holds, by name.
        offer: What the last sign-in offered: challenge and authorization.
        id: Of the binding, as the server told it.
        challenge: To sign next; "": none is known.
        last: The proof that it sent last.
    """

    shell: PlainShell
    key: Key = field(default_factory=Key)
    cookies: dict[str, str] = field(default_factory=dict)
    offer: dict[str, str] = field(default_factory=dict)
    id: str = ""
    challenge: str = ""
    last: str = ""

    @property
    def header(self) -> str | None:
        """The Cookie header."""
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items()) or None

    def copy(self, *names: str) -> "BoundBrowser":
        """Return a thief's browser, with copies of these cookies."""
        return BoundBrowser(self.shell, cookies={name: self.cookies[name] for name in names})

    def ask(self, handler: Handler = looks, /, **facts: Any) -> Any:
        """Send a request of a page; return what the handler does, or the answer in its place."""
        visit = DictVisit(self.header, **{key.replace("_", "-"): it for key, it in facts.items()})
        answer = self.shell.read(visit)
        if answer is not None:
            self.take(answer.headers)
            return answer
        result = handler(visit.session)
        changes = self.shell.leave(visit)
        self.take([*changes.headers, *(("set-cookie", line) for line in changes.set_cookies)])
        self.shell.end(visit)
        return result

    def send(self, path: str, **headers: str) -> Answer:
        """Send a request of the browser itself."""
        visit = DictVisit(self.header, **ITSELF, path=path)
        visit.facts |= {key.replace("_", "-"): it for key, it in headers.items()}
        answer = self.shell.read(visit)
        assert answer
        self.take(answer.headers)
        return answer

    def registers(self, jws: str | None = None, **headers: str) -> Answer:
        """Bring the key."""
        if jws is None:
            jws = self.key.registers(self.offer["challenge"], self.offer["authorization"])
        self.last = jws
        answer = self.send(REGISTER, secure_session_response=jws, **headers)
        if answer.status == 200:
            self.id = json.loads(answer.body)["session_identifier"]
        return answer

    def refreshes(self, jws: str | None = None, **headers: str) -> Answer:
        """Prove the device; without a challenge, ask for one first."""
        headers = {"sec_secure_session_id": self.id, **headers}
        if jws is None and not self.challenge:
            answer = self.send(REFRESH, **headers)
            if answer.status != 403:
                return answer
        self.last = jws or self.key.refreshes(self.challenge)
        return self.send(REFRESH, secure_session_response=self.last, **headers)

    def signs_in(self, user: str = "ada") -> "BoundBrowser":
        """Sign in, and bind the session."""
        self.ask(lambda session: session.sign_in(user))
        assert self.registers().status == 200
        return self

    def take(self, headers: Any) -> None:
        """Keep what an answer gives."""
        for name, value in headers:
            if name == "set-cookie":
                pair, _, attributes = value.strip().partition(";")  # Django puts a space first
                cookie, _, text = pair.partition("=")
                self.cookies.pop(cookie, None)
                if "Max-Age=0;" not in attributes:
                    self.cookies[cookie] = text
            elif name == "secure-session-challenge":
                self.challenge = value.split('"')[1]
            elif name == "secure-session-registration":
                parts = [part.partition("=") for part in value.split(";")[1:]]
                self.offer = {name: text.strip('"') for name, _, text in parts}


def headers_of(answer: Answer) -> Mapping[str, str]:
    """Return the headers of an answer; of several Set-Cookie the last."""
    return dict(answer.headers)
