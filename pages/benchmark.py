"""A suite answered and timed by all systems on this machine: measure it here."""

import streamlit as st

from hybrid.benchmark import jobs
from hybrid.benchmark.jobs import Request, ResumeRequest, shell_command
from hybrid.errors import HybridError
from hybrid.format import printable
from hybrid.presentation.runs.catalog import Entry
from pages.benchmark_parts import engines
from pages.benchmark_parts.controls import ask, estimate, pace
from pages.benchmark_parts.watch import follow
from pages.common import access, caches
from pages.common.notes import note

STATE = st.session_state
TROUBLE = "benchmark-trouble"


def start(request: Request) -> None:
    """Begin, before the page is drawn again; what keeps it from beginning is said there."""
    STATE.pop(TROUBLE, None)
    try:
        access.check()
        jobs.start(request)
    except (HybridError, ValueError) as error:
        STATE[TROUBLE] = str(error)


def unfinished(entries: tuple[Entry, ...]) -> None:
    """Draw the runs that were interrupted, one of which can go on."""
    st.subheader("Go on with a run that was interrupted", anchor=False)
    by_id = {entry.run_id: entry for entry in entries}
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    # Its id alone: in the address stands what is shown, and how far a run is changes.
    chosen = left.selectbox("Run", list(by_id), key="resume", bind="query-params")
    entry = by_id[chosen]
    request = ResumeRequest(
        run_id=chosen, suite=entry.suite, memory=STATE.get("memory", True), threads=entry.threads
    )
    st.text(_in_words(entry))
    right.button("Resume", key="go-on", on_click=start, args=(request,), width="stretch")


def _in_words(entry: Entry) -> str:
    known = f"{entry.records:,} of {entry.planned:,} answers"
    return f"{printable(entry.suite)}, pair {printable(entry.pair)}: {known}."


st.title("Measure it here", anchor=False)
st.caption(
    "Every system answers the same examples in turn, alone on this machine. The measurement goes on when "
    "this page is closed, and everyone who opens the page sees it."
)
blocked = jobs.blocking_reason()
follow(jobs.latest(), blocked is None)
if TROUBLE in STATE:
    note(STATE[TROUBLE], "error")
if why := access.refusal():
    note(why)
    st.stop()
st.subheader("What to measure", anchor=False)
plan = ask()
if plan is not None:
    st.text(" ".join(filter(None, (estimate(plan), pace(plan)))))
    st.code(shell_command(plan), language=None, wrap_lines=True)
held = plan is None or blocked is not None
st.button("Start", type="primary", key="start", disabled=held, on_click=start, args=(plan,))
if blocked is not None:
    note(blocked)
with st.expander("Engines here", icon=":material/memory:"):
    engines.table()
interrupted = () if blocked else tuple(entry for entry in caches.catalog().entries if not entry.complete)
if interrupted:
    unfinished(interrupted)
