"""A Django site of our own: its settings hold for the process, its storage is the test's."""

import importlib
import tempfile
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command

PAGES = "tests.frameworks.django_pages"

FOLDER = tempfile.TemporaryDirectory(prefix="coatcheck-django-")

if not settings.configured:
    settings.configure(
        SECRET_KEY="a secret that only these tests know",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=PAGES,
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(Path(FOLDER.name) / "db"),
            }
        },
        INSTALLED_APPS=[
            "django.contrib.admin",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.messages",
            "django.contrib.sessions",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        MESSAGE_STORAGE="django.contrib.messages.storage.session.SessionStorage",
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        STATIC_URL="/static/",
        USE_TZ=True,
        SESSION_ENGINE="coatcheck.frameworks.django",
        COATCHECK_STORAGE="memory:",
    )
    django.setup()


def engine() -> Any:
    """Return the module of the sessions, which can be imported once the site is set up."""
    return importlib.import_module(settings.SESSION_ENGINE)


def migrate() -> None:
    """Make the tables of users and of the admin's log."""
    call_command("migrate", verbosity=0)
