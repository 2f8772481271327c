"""What was asked in this visit: of this session alone, and gone with it."""

from collections.abc import Mapping
from datetime import UTC, datetime

import streamlit as st

from hybrid.format import printable
from hybrid.live import Request
from hybrid.live.history import MOST, AnswerSummary, Entry, append, table
from hybrid.schema import System
from pages.common.figure import save_csv, show
from pages.live_parts import models
from pages.live_parts.prompt import fill
from pages.live_parts.settings import ONE

STATE = st.session_state


def remember(
    pair: str, request: Request, summaries: Mapping[System, AnswerSummary], engines: Mapping[System, str]
) -> None:
    """Add what was just answered."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    STATE["history"] = append(STATE.get("history", ()), Entry(now, pair, request, summaries, engines))


def history() -> None:
    """Draw the table, its CSV, and a way to ask again."""
    entries: tuple[Entry, ...] = STATE.get("history", ())
    if not entries:
        return
    with st.expander(f"Asked in this visit: {len(entries)}", icon=":material/history:"):
        listing = table(entries)
        show(listing, "history", height=min(len(listing.rows), 8) * 35 + 38)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.selectbox(
                "Prompt", range(len(entries)), format_func=lambda place: _short(entries[place]),
                key="again", width=420,
            )  # fmt: skip
            st.button("Ask again", on_click=_again, args=(entries,))
            save_csv(listing, "live-history")
        st.caption(
            f"Kept for this visit only, the last {MOST} prompts at the most. Times in ms, one run each."
        )


def _again(entries: tuple[Entry, ...]) -> None:
    """Fill the prompt in, as it was asked; the systems are those that are chosen now."""
    entry = entries[min(STATE["again"], len(entries) - 1)]
    request = entry.request
    STATE["task"], STATE["ask"] = request.task, ONE
    if entry.pair in models.pairs():
        STATE[models.PAIR] = entry.pair
    fill(request.task, request.text, request.reference)


def _short(entry: Entry) -> str:
    return (
        f"{entry.asked_at[11:19]}  {models.task(entry.request.task).label}: {printable(entry.request.text)}"
    )
