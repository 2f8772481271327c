"""What the server refuses before Streamlit sees it: foreign names, pages of others, files."""

from collections.abc import Iterator
from typing import Any

import pytest
import streamlit as st

from hybrid.presentation.access import READ_ONLY, TOKEN
from pages.common.guard import HEADERS, Guard

HERE = "localhost:8501"
ONES_OWN = ["localhost", "127.0.0.1", "::1"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The options of the server, to be changed."""
    options = {"server.address": "127.0.0.1", "server.port": 8501, "server.allowedHosts": ONES_OWN}
    monkeypatch.setattr(st, "get_option", options.__getitem__)
    for name in (READ_ONLY, TOKEN):
        monkeypatch.delenv(name, raising=False)
    return options


Answer = tuple[int, dict[str, str]]


def ask(method: str = "GET", query: str = "", kind: str = "http", **headers: str) -> Answer:
    """Status and headers of the answer; 200 is Streamlit's."""
    sent: list[Any] = []

    async def streamlit(scope: Any, receive: Any, send: Any) -> None:
        cors = [(b"access-control-allow-origin", b"http://localhost:1"), (b"vary", b"Origin")]
        await send({"type": "http.response.start", "status": 200, "headers": cors})

    async def send(message: Any) -> None:
        sent.append(message)

    given = {"host": HERE} | {name.replace("_", "-"): value for name, value in headers.items()}
    scope = {
        "type": kind, "method": method, "path": "/live", "query_string": query.encode(), "scheme": "http",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "extensions": {"websocket.http.response": {}},
    }  # fmt: skip
    with pytest.raises(StopIteration):  # nothing here waits, and a browser's test may have a loop running
        Guard(streamlit)(scope, None, send).send(None)  # type: ignore[arg-type]
    if sent[0]["type"] == "websocket.close":
        return 403, {}
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8501", 200), ("127.0.0.1:8501", 200), ("[::1]:8501", 200), ("localhost", 200),
        ("evil.example:8501", 403), ("localhost.evil.example", 403), ("", 403), ("[", 403),
    ],
)  # fmt: skip
def test_a_foreign_name_that_leads_here_is_refused(server: Any, host: str, status: int):
    for kind in ("http", "websocket"):
        assert ask(kind=kind, host=host)[0] == status


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1"])
def test_a_foreign_page_is_refused_and_nobody_is_asked(
    server: Any, origin: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a connection was made"))
    for kind in ("http", "websocket"):
        assert ask(kind=kind, origin=origin)[0] == 403
    assert ask(origin=f"http://{HERE}")[0] == 200


def test_no_page_may_frame_or_read_these(server: Any):
    answered = ask()[1]
    assert {name: answered.pop(name.lower()) for name in HEADERS} == HEADERS
    assert answered == {"vary": "Origin"}  # no Access-Control-Allow-Origin
    assert HEADERS["Content-Security-Policy"] == "frame-ancestors 'none'"


def test_files_are_taken_from_those_who_may_import_them(server: Any, monkeypatch: pytest.MonkeyPatch):
    assert ask("PUT")[0] == 200
    monkeypatch.setenv(READ_ONLY, "1")
    assert (ask("PUT")[0], ask("GET")[0]) == (403, 200)


def test_the_token_moves_from_the_address_into_a_cookie(server: Any, monkeypatch: pytest.MonkeyPatch):
    server |= {"server.address": "0.0.0.0", "server.allowedHosts": ["*"]}
    monkeypatch.setenv(TOKEN, "secret")
    status, headers = ask(query="token=secret&task=summarize", host="bench:8501")
    assert (status, headers["location"]) == (303, "http://bench:8501/live?task=summarize")
    assert headers["set-cookie"].startswith("hybrid-bench-8501=secret; HttpOnly;")
    assert "SameSite=strict" in headers["set-cookie"]
    assert "set-cookie" not in ask(query="token=guess", host="bench:8501")[1]
    assert ask("PUT", host="bench:8501")[0] == 403
    assert ask("PUT", host="bench:8501", cookie="hybrid-bench-8501=guess")[0] == 403
    assert ask("PUT", host="bench:8501", cookie="a=b; hybrid-bench-8501=secret")[0] == 200
