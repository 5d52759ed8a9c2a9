"""
Visits, sign-in and sign-out in Django, in one file.

    DJANGO_SECRET=… python examples/django_app.py runserver

Make the secret with `secrets.token_urlsafe(50)`. The only user is ada, and the password is
"analytical engine". COATCHECK_STORAGE names another storage than the file here.
"""

import os
import sys

from django.conf import settings
from django.contrib.auth import authenticate, login, logout
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.middleware.csrf import get_token
from django.urls import path
from django.utils.html import format_html
from django.views.decorators.http import require_POST

settings.configure(
    SECRET_KEY=os.environ["DJANGO_SECRET"],
    ALLOWED_HOSTS=["127.0.0.1", "localhost", "testserver"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "users"}},
    USE_TZ=True,
    SESSION_ENGINE="coatcheck.frameworks.django",
    COATCHECK_STORAGE=os.environ.get("COATCHECK_STORAGE", "sqlite:sessions/db"),
    SESSION_COOKIE_SECURE=os.environ.get("APP_ENV") == "production",
)
app = get_wsgi_application()


SIGN_IN = """
<form method="post" action="/sign-in">{token}<input name="name">
<input name="password" type="password"><button>Sign in</button></form>
"""
SIGN_OUT = '<form method="post" action="/sign-out">{token}<button>Sign out</button></form>'
TOKEN = '<input type="hidden" name="csrfmiddlewaretoken" value="{}">'


def home(request: HttpRequest) -> HttpResponse:
    """Count the visits; none is lost when two requests come at once."""
    visits = request.session.apply("visits", lambda n: n + 1, default=0)
    name = request.user.get_username() or "somebody"
    form = SIGN_OUT if request.user.is_authenticated else SIGN_IN
    token = format_html(TOKEN, get_token(request))
    return HttpResponse(format_html("<p>Visit {} of {}.</p>" + form, visits, name, token=token))


@require_POST  # type: ignore[untyped-decorator] # Django has no types
def sign_in(request: HttpRequest) -> HttpResponse:
    """Check the password; the session gets another key."""
    name, password = request.POST["name"], request.POST["password"]
    user = authenticate(request, username=name, password=password)
    if user is None:
        return HttpResponse("Name or password is wrong.", status=403)
    login(request, user)
    return HttpResponseRedirect("/")


@require_POST  # type: ignore[untyped-decorator] # likewise
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    logout(request)
    return HttpResponseRedirect("/")


urlpatterns = [path("", home), path("sign-in", sign_in), path("sign-out", sign_out)]

if __name__ == "__main__":
    from django.contrib.auth.models import User

    execute_from_command_line([sys.argv[0], "migrate", "--verbosity", "0"])
    if not User.objects.filter(username="ada").exists():
        User.objects.create_user("ada", password="analytical engine")
    execute_from_command_line(sys.argv)
