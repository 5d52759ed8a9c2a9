"""
Readers for the sessions of other packages, so that every user stays signed in during a move.

    coatcheck.session(cookie, storage, adopts=[adopt.Flask(secrets=[…], until=date(2027, 3, 1))])

A request without a session of ours gets the one that its old cookie leads to, and keeps it as a
session of ours. A reader can be tried without a request: `reader.read({"session": "eyJ…"}, now)`.
"""

from coatcheck._session.adopted import Adopted
from coatcheck.adopt.aiohttp_session import AiohttpSession
from coatcheck.adopt.auth_js import AuthJs
from coatcheck.adopt.beaker import Beaker
from coatcheck.adopt.better_auth import BetterAuth
from coatcheck.adopt.django import Django, DjangoCache, DjangoTable
from coatcheck.adopt.express import CookieSession, Express
from coatcheck.adopt.flask import Flask
from coatcheck.adopt.flask_session import FlaskSession
from coatcheck.adopt.iron_session import IronSession
from coatcheck.adopt.litestar import Litestar
from coatcheck.adopt.rails import Rails
from coatcheck.adopt.starlette import Starlette
from coatcheck.adopt.starsessions import Starsessions

__all__ = [
    "Adopted",
    "AiohttpSession",
    "AuthJs",
    "Beaker",
    "BetterAuth",
    "CookieSession",
    "Django",
    "DjangoCache",
    "DjangoTable",
    "Express",
    "Flask",
    "FlaskSession",
    "IronSession",
    "Litestar",
    "Rails",
    "Starlette",
    "Starsessions",
]
