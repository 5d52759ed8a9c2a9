"""The page about sockets that end with their session: its code, and what its table says."""

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from coatcheck.testing import SessionKit
from tests.test_docs import blocks_of

PAGE = Path(__file__).parent.parent / "docs" / "how-to" / "close-sockets.md"
URL = "https://shop.example"


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that the page's code makes; it looks again at each turn of the event loop."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SESSION_SECRET", "a-secret-that-only-this-test-knows-0123456789")
    names: dict[str, Any] = {}
    for _, code in blocks_of(PAGE):
        exec(code, names)
    names["EVERY"] = 0
    return names


@pytest.mark.parametrize(
    ("meanwhile", "stays"),
    [
        ("destroy", False),
        ("confirm", False),
        ("regenerate_id", False),
        ("update", True),
    ],
)
def test_a_socket_ends_with_its_session(
    page: dict[str, Any], meanwhile: str, *, stays: bool
) -> None:
    """Another request of the browser changes the session while the socket is open."""
    kit = SessionKit(page["cookie"], page["storage"])
    with TestClient(page["app"], base_url=URL) as client:
        kit.sign_in(client, "ada")
        with client.websocket_connect("wss://shop.example/chat") as socket:
            socket.send_text("hello")
            assert socket.receive_text() == "hello"
            with kit.session(client) as session:
                getattr(session, meanwhile)()
            if stays:
                socket.send_text("still there")
                assert socket.receive_text() == "still there"
                return
            with pytest.raises(WebSocketDisconnect) as closed:
                socket.receive_text()
            assert closed.value.code == 1008


def test_a_socket_of_a_visitor_is_closed(page: dict[str, Any]) -> None:
    """Nobody is signed in."""
    with (
        TestClient(page["app"], base_url=URL) as client,
        client.websocket_connect("wss://shop.example/chat") as socket,
        pytest.raises(WebSocketDisconnect),
    ):
        socket.receive_text()
