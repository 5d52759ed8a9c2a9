"""
Sessions that are bound to a device: the decisions about a request and its answer.

    POST {path}/register    the browser brings a key for a session that was just signed in
    POST {path}/refresh     the browser proves that it has the key, and gets the next bound cookie

Both are answered in place of the application. For every other request `admit` looks whether a bound
session comes with its bound cookie. If not, the session is not read: its cookie alone is a copy.

A browser refreshes only for requests of its own origin. So a visitor who follows a link from
another site, after the bound cookie ended, would be signed out. Such a request is answered by a
page that loads itself again: that request has the right origin, and the browser refreshes first.

Pure: times are those at which the session was read. What a client sends never raises.

Source: W3C Device Bound Session Credentials; what browsers do beyond it was seen in Chromium 156.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Literal

from coatcheck._cookie.bound_cookie import BoundCookie
from coatcheck._cookie.cookie import Cookie
from coatcheck._request.bound import Bound
from coatcheck._request.visit import Answer, Changes, Visit
from coatcheck._session import binding
from coatcheck._session.binding import Binding, Rebind
from coatcheck._session.draft import VISITOR, Draft, Found, Lost, Moved, OnDevice, Unread
from coatcheck._session.moves import is_hushed
from coatcheck._session.proof import Flaw, Proofs, mark_of
from coatcheck._session.session import Session
from coatcheck.errors import ConfigurationError

Reason = (
    Flaw
    | binding.Refusal
    | Literal["method", "origin", "body", "no session", "no session id", "no proof"]
)
"""Why a request of a browser, or of somebody else, was refused."""

CLOSED = (
    ("cache-control", "no-store"),
    ("cross-origin-resource-policy", "same-origin"),
    ("x-frame-options", "DENY"),
)
"""Headers of every answer: it is for the browser itself, and for no page."""

PAGE = '<!doctype html><title>One moment</title><script src="{}"></script><a href="">Go on</a>'
"""
A page that asks for itself again, from its own origin; the fragment of its address stays. The
script has an address of its own: a Content-Security-Policy often allows no other.
"""

SCRIPT = b"location.reload()"

_ALGORITHMS = "(ES256 RS256)"

OnRefused = Callable[[Session, Reason], None]

OnBound = Callable[[Session], None]


class Device:
    """
    The device binding of one cookie's sessions.

    Args:
        cookie: The session cookie.
        bound: What the application says.
        on_refused: Is told of each request that is refused.
        on_bound: Is told of each session to which a device has registered its key.

    Raises:
        ConfigurationError: The cookie does not reach the requests that need it, or the package
            cryptography is missing.
    """

    def __init__(
        self, cookie: Cookie, bound: Bound, on_refused: OnRefused, on_bound: OnBound
    ) -> None:
        if cookie.path != "/":
            raise ConfigurationError(
                f'bound needs a session cookie with path="/", got {cookie.path!r}: the browser '
                "must send it to the path of Bound, too"
            )
        self.bound = bound
        self.cookie = BoundCookie(cookie, bound.seconds)
        self._every = bound.seconds
        self._proofs = Proofs()
        self._refused, self._on_bound = on_refused, on_bound
        self._register = f"{bound.path}/register"
        self._refresh = f"{bound.path}/refresh"
        self._reload = f"{bound.path}/reload.js"
        self._page = PAGE.format(bound.prefix + self._reload).encode()

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths that `serves` knows, as this application sees them."""
        return self._register, self._refresh, self._reload

    # ---- requests of the application

    def admit(self, visit: Visit, session: Session) -> Answer | None:
        """
        Let a session that is bound count only with a proof, or return an answer to send at once.

        Without a proof the request has no session. Where a browser sends no proof, or says that it
        skipped it, it keeps nothing, either: its cookie must not replace the one that is bound.
        """
        draft = session._draft
        found = draft.found
        there = _bound(found) if found is not None else None
        if found is None or there is None:
            return None
        if self.cookie.proves(visit.cookies, there.id, there.key, found.read_at):
            draft.device = "proved"
            return None
        if found.read_at < there.at + binding.UNDER_WAY:
            draft.device = "unproved"
            return None
        visit.others = ()
        if self.may_reload(visit):
            return _answer(200, ("refresh", "2"), body=self._page, kind="text/html; charset=utf-8")
        skips = visit.header("secure-session-skipped") or _is_from_elsewhere(visit)
        if skips or not self.bound.covers(visit.path):
            session._draft = Draft(origin=Lost("the browser sent no proof of its device"))
            return None
        self._refused(session, "no proof")
        session._draft = VISITOR
        return None

    def may_reload(self, visit: Visit) -> bool:
        """Tell whether a request without a proof is answered by a page that loads itself again."""
        return self.bound.covers(visit.path) and _is_navigation_from_elsewhere(visit)

    def renew(self, before: OnDevice, session: Session) -> None:
        """
        Let a session that a request reads again count only as far as the request proved its device.

        Args:
            before: What it proved when it was read first.
        """
        draft = session._draft
        found = draft.found
        there = _bound(found) if found is not None else None
        if found is None:
            return
        if there is None or before == "proved":
            draft.device = before
        elif found.read_at < there.at + binding.UNDER_WAY:
            draft.device = "unproved"
        else:
            session._draft = VISITOR

    def is_living(self, visit: Visit, session: Session) -> bool:
        """Tell whether a session of several that a request brings is the one that it means."""
        found = session._draft.found
        there = _bound(found) if found is not None else None
        if there is None or found is None:
            return visit.path != self._refresh
        if visit.path == self._refresh:
            return there.id == _item(visit.header("sec-secure-session-id"))
        return self.cookie.proves(visit.cookies, there.id, there.key, found.read_at)

    # ---- answers of the application

    def amended(self, visit: Visit, changes: Changes, *, ended: bool) -> Changes:
        """
        Return the changes of the headers with what they say of the device.

        Args:
            ended: The session ended with this request.
        """
        if ended:
            return changes._replace(set_cookies=(*changes.set_cookies, self.cookie.removal))
        draft = visit.session._draft
        found = draft.found if draft.device == "offered" else None
        there = binding.binding_of(found.record.body) if found is not None else None
        if there is None or there.key:
            return changes
        path = f"{self.bound.prefix}{self._register}"
        offer = (
            f'{_ALGORITHMS};path="{path}";challenge="{there.challenge}";authorization="{there.id}"'
        )
        header = ("secure-session-registration", offer)
        return changes._replace(headers=(*changes.headers, header))

    # ---- requests of the browser itself

    def serves(self, visit: Visit) -> bool:
        """Tell whether a request is one that is answered here, in place of the application."""
        return visit.path in self.paths

    def at_once(self, visit: Visit) -> Answer | None:
        """Return the answer that needs no session; None: it may be a browser's own request."""
        if visit.path == self._reload:
            return SCRIPT_ANSWER
        if visit.method != "POST":
            return _answer(405, ("allow", "POST"))
        if (
            visit.header("sec-fetch-site") != "same-origin"
            or visit.header("sec-fetch-mode") != "no-cors"  # so no script can have added a header
            or visit.header("sec-fetch-dest") != "empty"
        ):
            return _answer(403)
        if visit.header("content-length") not in ("", "0") or visit.header("transfer-encoding"):
            return _answer(400)
        return None

    def begin(self, visit: Visit, session: Session) -> Answer | Rebind:
        """
        Decide about a request of the browser: return the answer, or the step to save before that.

        Args:
            session: As the storage read it; the step is in its log.
        """
        if type(session._draft.origin) is Unread:
            return BUSY
        if visit.path == self._register:
            return self._begin_register(visit, session)
        return self._begin_refresh(visit, session)

    def finish(self, visit: Visit, step: Rebind, set_cookie: str | None) -> Answer:
        """
        Return the answer after the save.

        Args:
            step: From `begin`.
            set_cookie: The session cookie, if it is due.
        """
        session, registers = visit.session, visit.path == self._register
        found = session._draft.found
        if found is None:  # another request ended the session, or changed its id
            return _answer(400) if registers else BUSY
        there = step.result
        if not isinstance(there, Binding):
            return self._refuse(session, there, _bound(found))
        if registers:
            self._on_bound(session)
        lines = [self.cookie.line(there.id, there.key, there.until)]
        if set_cookie is not None:
            lines.append(set_cookie)
        headers = [("set-cookie", line) for line in lines]
        if not registers:
            headers.append(_challenge(there))
        return _answer(200, *headers, body=self._instructions(there), kind="application/json")

    def _begin_register(self, visit: Visit, session: Session) -> Answer | Rebind:
        found = session._draft.found
        if found is None:
            return self._refuse(session, "no session")
        there = binding.binding_of(found.record.body)
        if there is None:
            return self._refuse(session, "not offered")
        proof = self._proofs.registering(_item(visit.header("secure-session-response")))
        if isinstance(proof, str):
            return self._refuse(session, proof)
        decide = partial(
            binding.registered,
            key=proof.key,
            challenge=proof.challenge,
            authorization=proof.authorization,
            now=found.read_at,
            every=self._every,
        )
        return self._step(session, Rebind(there.id, decide))

    def _begin_refresh(self, visit: Visit, session: Session) -> Answer | Rebind:
        asked = _item(visit.header("sec-secure-session-id"))
        if not asked:
            return self._refuse(session, "no session id")
        origin = session._draft.origin
        if type(origin) is Moved and is_hushed(origin.marker, origin.read_at):
            return BUSY  # the cookie with the new id is on its way
        found = session._draft.found
        there = _bound(found) if found is not None else None
        if found is None or there is None or there.id != asked:
            return self._ended(asked)
        jws = _item(visit.header("secure-session-response"))
        if not jws:
            return _answer(403, _challenge(there))
        proof = self._proofs.holding(jws, there.key)
        if isinstance(proof, str):
            return self._refuse(session, proof)
        decide = partial(
            binding.refreshed,
            key=proof.key,
            challenge=proof.challenge,
            mark=mark_of(jws),
            now=found.read_at,
            every=self._every,
        )
        return self._step(session, Rebind(there.id, decide))

    def _step(self, session: Session, step: Rebind) -> Answer | Rebind:
        """Write a step into the session's log; if it is refused at once, nothing is saved."""
        session._draft.write(step)
        if isinstance(step.result, Binding):
            return step
        return self._refuse(session, step.result, _bound(session._draft.found))

    def _refuse(self, session: Session, why: Reason, there: Binding | None = None) -> Answer:
        """Return the answer to a proof that is refused; a stale challenge gets the current one."""
        self._refused(session, why)
        if why == "challenge" and there is not None:
            return _answer(403, _challenge(there))
        return _answer(400)

    def _ended(self, asked: str) -> Answer:
        """Return the answer that ends what the browser knows of a binding."""
        body = json.dumps({"session_identifier": asked, "continue": False}).encode()
        return _answer(200, body=body, kind="application/json")

    def _instructions(self, there: Binding) -> bytes:
        """
        Return what the browser is to know of a binding.

        The origin is left out, and the address is relative: both mean those of this request, as the
        browser sees it, whatever a proxy made of them.
        """
        rules = [{"type": kind, "path": path} for kind, path in self.bound.rules]
        credential = {
            "type": "cookie",
            "name": self.cookie.name,
            "attributes": self.cookie.attributes,
        }
        return json.dumps(
            {
                "session_identifier": there.id,
                "refresh_url": "refresh",
                "scope": {"include_site": False, "scope_specification": rules},
                "credentials": [credential],
            }
        ).encode()


def _bound(found: Found | None) -> Binding | None:
    """Return the binding of a session that a device has registered; None: there is none."""
    there = binding.binding_of(found.record.body) if found is not None else None
    return there if there is not None and there.key else None


def _is_from_elsewhere(visit: Visit) -> bool:
    """Tell whether another site, or another origin of this site, brought the request about."""
    return visit.header("sec-fetch-site") in ("cross-site", "same-site")


def _is_navigation_from_elsewhere(visit: Visit) -> bool:
    """Tell whether the visitor came by a link or an address of another origin."""
    return (
        _is_from_elsewhere(visit)
        and visit.method == "GET"
        and visit.header("sec-fetch-mode") == "navigate"
        and visit.header("sec-fetch-dest") == "document"
        and not visit.header("secure-session-skipped")
    )


def _item(field: str) -> str:
    """
    Return the text of a field: a string in quotes, as specified, or without, as Chromium sends it.

    Parameters behind a semicolon are ignored. A text that holds what neither form can is "".
    """
    text = field.partition(";")[0].strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    return "" if '"' in text else text


def _challenge(there: Binding) -> tuple[str, str]:
    return "secure-session-challenge", f'"{there.challenge}";id="{there.id}"'


def _answer(status: int, *headers: tuple[str, str], body: bytes = b"", kind: str = "") -> Answer:
    fixed = [("content-type", kind)] if kind else []
    length = ("content-length", str(len(body)))
    return Answer(status, (*headers, *CLOSED, *fixed, length), body)


BUSY = _answer(503, ("retry-after", "1"))
"""The browser keeps the binding, and tries again with its next request."""

SCRIPT_ANSWER = Answer(
    200,
    (
        ("cache-control", "max-age=86400"),
        ("content-type", "text/javascript"),
        ("x-content-type-options", "nosniff"),
        ("content-length", str(len(SCRIPT))),
    ),
    SCRIPT,
)
