"""A job as every visitor sees it: what it does, how far it is, its log, and the way to end it."""

import streamlit as st

from hybrid.benchmark import jobs
from hybrid.benchmark.jobs import Job
from hybrid.errors import HybridError
from hybrid.format import printable, ratio
from hybrid.presentation.running import Running, Watch
from hybrid.store import results_folder
from pages.benchmark_parts import engines
from pages.common import access
from pages.common.notes import Kind, note, plain

BUSY_S, IDLE_S = 2.0, 5.0  # between looks
LOG_HEIGHT = 150
KINDS: dict[str, Kind] = {"finished": "info", "cancelled": "warning", "failed": "error"}
Mark = tuple[str | None, bool, bool, bool]


def mark(job: Job | None, free: bool) -> Mark:
    """When this changes, the whole page does."""
    alive = job is not None and job.alive
    return job.job_id if job else None, alive, free, engines.known(free)


def follow(job: Job | None, free: bool) -> None:
    """Draw the job, and again every few seconds; the rest of the page only when one begins or ends."""
    alive = job is not None and job.alive
    st.fragment(_look, run_every=BUSY_S if alive else IDLE_S)(mark(job, free))


def _look(drawn: Mark) -> None:
    job = jobs.latest()
    if mark(job, jobs.blocking_reason() is None) != drawn:
        st.rerun()
    if job is None:
        return
    running = _watch(job.job_id, str(results_folder())).look(job)
    with st.container(border=True, key="job"):
        if job.alive:
            _running(job, running)
        else:
            _ended(job, running)


def _running(job: Job, running: Running) -> None:
    st.subheader("Being measured", anchor=False)
    _about(job)
    st.progress(running.share)
    st.text(running.sentence)
    _speedups(running, "so far, preliminary")
    _log(job, running)
    if job.cancelled_at is None and access.refusal() is None:
        with st.popover("Cancel", icon=":material/stop_circle:"):
            st.text("End this measurement? What was measured is kept, and the rest can be measured later.")
            st.button("End it", key="cancel", type="primary", on_click=_cancel, args=(job,))
    st.caption("It goes on when this page is closed. The Live page is busy until it has ended.")


def _ended(job: Job, running: Running) -> None:
    st.subheader("The last measurement", anchor=False)
    _about(job)
    note(running.sentence, "warning" if running.busy else KINDS.get(running.state, "warning"))
    if running.state == "finished":
        _speedups(running, "median of paired ratios")
        link = {"run": job.run_id or ""}
        with st.container(horizontal=True):
            st.page_link("pages/tradeoffs.py", label="See it on Trade-offs", query_params=link)
            st.page_link("pages/examples.py", label="Read its answers", query_params=link)
            st.page_link("pages/runs.py", label="Export it from Runs", query_params=link)
    with st.expander("Its log", icon=":material/terminal:"):
        _log(job, running)


def _about(job: Job) -> None:
    st.text(f"{printable(job.suite)}, started {job.started_at[:10]} {job.started_at[11:19]} UTC")


def _speedups(running: Running, how: str) -> None:
    """Draw how many times as fast as the LLM alone, end to end."""
    if not running.speedups:
        return
    with st.container(horizontal=True):
        for system, speedup in running.speedups.items():
            name = plain(printable(system.label))
            count = f"n = {speedup.n:,}"
            st.metric(name, ratio(speedup.median), count, delta_color="off", delta_arrow="off", width=130)
    st.caption(f"Speed-up over the LLM alone, end to end, {how}; n pairs of answers.")


def _log(job: Job, running: Running) -> None:
    """Draw the command and the last of what it has said."""
    lines = (f"$ {printable(job.shown, longest=2000)}", *running.log)
    st.code("\n".join(lines), language=None, height=LOG_HEIGHT, wrap_lines=True)


def _cancel(job: Job) -> None:
    try:
        access.check()
        jobs.cancel(job)
    except HybridError as error:
        st.session_state["benchmark-trouble"] = str(error)


@st.cache_resource(show_spinner=False, max_entries=4)
def _watch(job_id: str, root: str) -> Watch:
    return Watch()
