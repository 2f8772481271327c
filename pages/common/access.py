"""What a visitor may do: everything on the machine itself; elsewhere, or read-only, what takes no token."""

import streamlit as st

from hybrid.errors import HybridError
from hybrid.presentation.access import Access


def access() -> Access:
    """Give what the server allows."""
    return Access.of_server(st.get_option("server.address") or "")


def cookie() -> str:
    """Name the cookie that holds a visitor's token; cookies of a host are shared by all its ports."""
    return f"hybrid-bench-{st.get_option('server.port')}"


def refusal() -> str | None:
    """Why this visitor can only look, in a sentence; None when all is allowed."""
    return access().refusal(st.context.cookies.get(cookie(), ""))


def check() -> None:
    """Raise HybridError when this visitor can only look: to be asked by whatever does more."""
    if why := refusal():
        raise HybridError(why)
