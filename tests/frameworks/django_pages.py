"""The pages of the Django site that the tests ask: imported when it is set up."""

import asyncio
import io
import sys
from collections.abc import Callable, Iterator
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth import aauthenticate, alogin, alogout, authenticate, login, logout
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

from coatcheck import BackendError
from coatcheck.frameworks.django_decorators import require_bound


def add(request: HttpRequest, item: str) -> HttpResponse:
    request.session.setdefault("cart", [])
    request.session["cart"].append(item)  # without a flag
    return JsonResponse(request.session["cart"], safe=False)


def cart(request: HttpRequest) -> HttpResponse:
    return JsonResponse(request.session.get("cart"), safe=False)


def glance(request: HttpRequest, way: str) -> HttpResponse:
    """Ask of the session no more than its key, or whether it is there."""
    session = request.session
    ways: dict[str, Callable[[], object]] = {
        "session_key": lambda: session.session_key,
        "exists": lambda: session.exists(request.COOKIES.get("sessionid")),
        "load": session.load,
    }
    ways[way]()
    return HttpResponse()


async def async_glance(request: HttpRequest, way: str) -> HttpResponse:
    session = request.session
    await (session.aload() if way == "load" else session.aexists("x" * 40))
    return HttpResponse()


def nothing(_: HttpRequest) -> HttpResponse:
    return HttpResponse()


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def body() -> Iterator[bytes]:
        yield str(request.session.get("cart")).encode()

    return StreamingHttpResponse(body())


def file(_: HttpRequest) -> FileResponse:
    return FileResponse(io.BytesIO(b"a picture"))


class Meanwhile:
    """What another request does while this one is served."""

    act: Callable[[], object] = staticmethod(lambda: None)


def slow(request: HttpRequest) -> HttpResponse:
    """Read the session, let another request do something, then write if the client asks for it."""
    request.session.get("cart")
    Meanwhile.act()
    if "write" in request.GET:
        request.session["slow"] = True
    if "out" in request.GET:
        request.session.flush()
    if "cycle" in request.GET:
        request.session.cycle_key()
    return HttpResponse()


def out(request: HttpRequest) -> HttpResponse:
    request.session.flush()
    return HttpResponse()


def unstorable(request: HttpRequest) -> HttpResponse:
    request.session["lock"] = {1, 2}
    return HttpResponse()


def fail(request: HttpRequest) -> HttpResponse:
    request.session["lost"] = True
    return HttpResponse(status=500)


def sign_in(request: HttpRequest) -> HttpResponse:
    user = authenticate(request, username="ada", password=request.GET["password"])
    login(request, user)
    messages.success(request, "Welcome.")
    return HttpResponse()


def who(request: HttpRequest) -> HttpResponse:
    said = [str(message) for message in messages.get_messages(request)]
    return JsonResponse({"user": request.user.get_username(), "said": said})


def bound(request: HttpRequest) -> HttpResponse:
    name = request.user.get_username()
    return JsonResponse({"user": name, "bound": request.session.is_bound})


def become(request: HttpRequest, user: str) -> HttpResponse:
    """Sign in without Django's `login()`."""
    request.session["_auth_user_id"] = user
    return HttpResponse()


@require_bound()
def guarded(_: HttpRequest) -> HttpResponse:
    return HttpResponse()


@require_bound()
async def async_guarded(_: HttpRequest) -> HttpResponse:
    return HttpResponse()


def renew(request: HttpRequest, way: str) -> HttpResponse:
    """Ask for a session under another key."""
    request.session.get("cart")
    getattr(request.session, way)()
    return JsonResponse(request.session.session_key, safe=False)


def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse()


async def async_count(request: HttpRequest) -> HttpResponse:
    return JsonResponse(await request.session.aapply("n", lambda n: n + 1, 0), safe=False)


async def async_sign_in(request: HttpRequest) -> HttpResponse:
    user = await aauthenticate(request, username="ada", password=request.GET["password"])
    await alogin(request, user)
    return HttpResponse()


async def async_who(request: HttpRequest) -> HttpResponse:
    user = await request.auser()
    return JsonResponse({"user": user.get_username()})


async def async_bound(request: HttpRequest) -> HttpResponse:
    user = await request.auser()
    bound = await request.session.ais_bound()
    return JsonResponse({"user": user.get_username(), "bound": bound})


async def async_sign_out(request: HttpRequest) -> HttpResponse:
    await alogout(request)
    return HttpResponse()


async def in_place(request: HttpRequest) -> HttpResponse:
    return JsonResponse(request.session.get("n"), safe=False)


class Gathering:
    """Lets requests pass when as many have read their session as there are in all."""

    barrier = asyncio.Barrier(1)


async def together(request: HttpRequest, key: str) -> HttpResponse:
    await request.session.aget(key)
    await Gathering.barrier.wait()
    await request.session.aset(key, True)
    return HttpResponse()


def handler500(_: HttpRequest) -> HttpResponse:
    """Answer 503 while the sessions' server is down."""
    down = isinstance(sys.exc_info()[1], BackendError)
    return HttpResponse(status=503 if down else 500)


urlpatterns: list[Any] = [
    path("admin/", admin.site.urls),
    path("add/<item>", add),
    path("cart", cart),
    path("glance/<way>", glance),
    path("async/glance/<way>", async_glance),
    path("nothing", nothing),
    path("stream", stream),
    path("file", file),
    path("slow", slow),
    path("out", out),
    path("unstorable", unstorable),
    path("fail", fail),
    path("sign-in", sign_in),
    path("bound", bound),
    path("become/<user>", become),
    path("guarded", guarded),
    path("async/guarded", async_guarded),
    path("renew/<way>", renew),
    path("async/bound", async_bound),
    path("who", who),
    path("sign-out", sign_out),
    path("async/count", async_count),
    path("async/sign-in", async_sign_in),
    path("async/who", async_who),
    path("async/sign-out", async_sign_out),
    path("async/in-place", in_place),
    path("async/together/<key>", together),
]
