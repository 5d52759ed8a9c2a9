"""`coatcheck users`, `end` and `show`: the sessions of one user, and never a value."""

import json
from pathlib import Path

import pytest

from coatcheck import Cookie, Session, Users, session
from coatcheck.cli import main
from coatcheck.storage import KeyedStorage, SqliteStorage
from tests.hosts import SECRET, Browser, ask_wsgi, wsgi_app

COOKIE = Cookie("__session", secrets=[SECRET])


def signs_in(session: Session) -> None:
    session.update(secret="hunter2", cart=[1])
    session.sign_in("42", label="x")


def signed_in(storage: KeyedStorage) -> list[Browser]:
    """Sign a user in on two devices."""
    app = session(COOKIE, storage, users=Users(COOKIE, storage)).wsgi(wsgi_app)
    browsers = [
        Browser(lambda handler, cookie, headers: ask_wsgi(app, handler, cookie, headers), COOKIE)
        for _ in range(2)
    ]
    for browser in browsers:
        browser.ask(signs_in)
    return browsers


@pytest.mark.parametrize("encrypt", [False, True])
def test_the_sessions_of_a_user_are_listed_shown_and_ended(
    *,
    encrypt: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From the environment comes the secret that an encrypted list needs."""
    monkeypatch.setenv("SESSION_SECRET", SECRET)
    storage = SqliteStorage(tmp_path / "db", encrypt=encrypt)
    signed_in(storage)
    storage.close()
    url = f"sqlite:{tmp_path}/db{'?encrypt=yes' if encrypt else ''}"
    assert main(["users", url, "42", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["label"] for each in found] == ["x", "x"]
    assert main(["users", url, "42"]) == 0
    handle = found[0]["handle"]
    assert handle in capsys.readouterr().out
    if not encrypt:
        assert main(["show", url, "--user", "42", "--handle", handle, "--json"]) == 0
        said = capsys.readouterr().out
        assert "hunter2" not in said
        assert json.loads(said)["keys"] == {"cart": ["list", 2], "secret": ["str", 8]}
        assert main(["show", url, "--user", "42", "--handle", handle]) == 0
        assert "hunter2" not in capsys.readouterr().out
    else:
        assert main(["show", url, "--user", "42", "--handle", handle, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["label"], told["keys"]) == ("x", None)
        assert main(["show", url, "--user", "42", "--handle", handle]) == 0
        assert "opens for a request with its cookie alone" in capsys.readouterr().out
    assert main(["end", url, "42", "--handle", handle, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"ended": 1}
    assert main(["end", url, "42", "--handle", handle]) == 1
    assert main(["show", url, "--user", "42", "--handle", handle]) == 1
    assert main(["show", url, "--user", "42", "--handle", handle, "--json"]) == 1
    capsys.readouterr()
    assert main(["end", url, "42", "--all"]) == 0
    assert capsys.readouterr().out == "Ended 1 session.\n"
    assert main(["users", url, "42"]) == 0
    empty = "This user has no session of the cookie '__session'; --cookie names another.\n"
    assert capsys.readouterr().out == empty


def test_a_secret_that_is_needed_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the name of the variable."""
    monkeypatch.delenv("SESSION_SECRET", raising=False)
    storage = SqliteStorage(tmp_path / "db", encrypt=True)
    signed_in(storage)
    storage.close()
    with pytest.raises(SystemExit):
        main(["users", f"sqlite:{tmp_path}/db?encrypt=yes", "42"])
    assert "set SESSION_SECRET" in capsys.readouterr().err


def test_a_handle_may_begin_with_a_dash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of 64 does: it is no option. A list in clear needs no secret."""
    monkeypatch.delenv("SESSION_SECRET", raising=False)
    monkeypatch.setattr("coatcheck._session.sign_in.new_handle", lambda: "-Arje5Yah4rOoNSVlZC7")
    storage = SqliteStorage(tmp_path / "db")
    signed_in(storage)
    storage.close()
    url, handle = f"sqlite:{tmp_path}/db", ["--handle", "-Arje5Yah4rOoNSVlZC7"]
    assert main(["show", url, "--user", "42", *handle]) == 0
    assert main(["end", url, "42", *handle]) == 0
    assert main(["end", url, "42", *handle]) in (0, 1)
    assert main(["end", url, "42", "--handle", "-no"]) == 1
    assert capsys.readouterr().out.endswith("This user has no such session.\n")


@pytest.mark.parametrize(
    "command",
    [
        ["users", "URL", ""],
        ["end", "URL", "", "--all"],
        ["show", "URL", "--user", "", "--handle", "h"],
    ],
)
def test_an_empty_user_is_no_user(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A variable of a script that is not set ends nothing."""
    with pytest.raises(SystemExit) as left:
        main(command)
    assert left.value.code == 2
    assert "must not be empty" in capsys.readouterr().err
