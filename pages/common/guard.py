"""What the server refuses before Streamlit sees it, and what browsers may do with its pages.

Streamlit refuses a foreign Origin, too, but looks up this machine's address on the internet first.
"""

import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import gethostname
from urllib.parse import urlencode, urlsplit

import click
import streamlit as st
from starlette.datastructures import URL, Headers, MutableHeaders, QueryParams
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from pages.common.access import access, cookie

TOKEN = "token"  # in the address
READS = ("GET", "HEAD", "OPTIONS")
ANY = "*"
POLICY_VIOLATION = 1008  # RFC 6455, 7.4.1
# No other page may frame these, read them, or learn their address, which may hold a prompt.
HEADERS = {
    "Content-Security-Policy": "frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """An ASGI middleware around Streamlit: refuses what comes from elsewhere, takes tokens, adds headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let Streamlit answer."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                for name in [name for name in headers if name.startswith("access-control-")]:
                    del headers[name]  # Streamlit's for uploads let other ports of this machine read them
                headers.update(HEADERS)
            await send(message)

        answer = _refused(scope) or _with_token(scope) or self._app
        if scope["type"] == "websocket" and isinstance(answer, Response):
            answer = WebSocketClose(POLICY_VIOLATION)  # before it is open: the browser is told 403
        await answer(scope, receive, with_headers)


@asynccontextmanager
async def announced(_: object) -> AsyncIterator[None]:
    """While the server runs: print its address, with the token for others, and open it in a browser.

    Streamlit's own way of printing it asks the internet for the machine's address.
    """
    host, port = st.get_option("server.address") or "0.0.0.0", st.get_option("server.port")
    everywhere = host in ("0.0.0.0", "::")
    name = gethostname() if everywhere else f"[{host}]" if ":" in host else host
    token = access().token
    query = f"/?{urlencode({TOKEN: token})}" if token else ""
    click.echo(f"Hybrid Bench: http://{name}:{port}{query}")
    if not st.get_option("server.headless"):
        webbrowser.open(f"http://{'localhost' if everywhere else name}:{port}{query}")
    yield


def _refused(scope: Scope) -> Response | None:
    headers = Headers(scope=scope)
    host, origin = headers.get("host", ""), headers.get("origin")
    if not _is_known(host):
        return PlainTextResponse(
            "This bench answers under its own names alone; `hybrid app --host` opens it to others.\n", 403
        )
    if origin is not None and urlsplit(origin).netloc != host:
        return PlainTextResponse("Requests of other pages are refused.\n", 403)
    if scope["type"] == "http" and scope["method"] not in READS and _refusal(headers):
        return PlainTextResponse("Files are taken from those alone who may import them.\n", 403)
    return None


def _is_known(host: str) -> bool:
    """Tell whether a request's Host is one of server.allowedHosts: a foreign name may lead here, too."""
    known = st.get_option("server.allowedHosts")
    try:
        return ANY in known or urlsplit(f"//{host}").hostname in known
    except ValueError:
        return False


def _refusal(headers: Headers) -> str | None:
    return access().refusal(_cookies(headers).get(cookie(), ""))


def _cookies(headers: Headers) -> dict[str, str]:
    return cookie_parser(headers.get("cookie", ""))


def _with_token(scope: Scope) -> Response | None:
    """Take the token from the address into a cookie, so that no link that is copied from there carries it."""
    if scope["type"] != "http" or TOKEN not in QueryParams(scope["query_string"]):
        return None
    response = RedirectResponse(str(URL(scope=scope).remove_query_params(TOKEN)), 303)
    token = QueryParams(scope["query_string"])[TOKEN]
    if access().accepts(token):
        response.set_cookie(cookie(), token, httponly=True, samesite="strict")
    return response
