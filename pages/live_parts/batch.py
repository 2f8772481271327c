"""Prompts from a file on the Live page: measured one after another, each when it is its turn."""

from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

import streamlit as st

from hybrid.errors import HybridError, InputError
from hybrid.live import Request, measure_all
from hybrid.live.batch import (
    FORMATS,
    MOST,
    MOST_BYTES,
    Batch,
    PromptRow,
    Row,
    headline,
    medians,
    progress,
    read_prompts,
    remarks,
    table,
)
from hybrid.live.history import summarize
from hybrid.live.model_cache import EngineRequest, LoadedSystems
from hybrid.schema import Sampling
from pages.common.figure import save_csv, show
from pages.common.notes import note, plain, small
from pages.live_parts import models
from pages.live_parts.history import remember
from pages.live_parts.settings import limit

STATE = st.session_state
ABOUT = (
    f"A text file with one prompt a line, or CSV, TSV or JSON lines: a column of prompts and, if you have "
    f"it, a second one of references, or columns named source and reference. At most {MOST} prompts and "
    f"{MOST_BYTES // 1000:,} kB."
)


def view(task: str, engine_request: EngineRequest) -> None:
    """Upload, Run, progress, result."""
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    file = left.file_uploader(
        "Prompts", [ending.removeprefix(".") for ending in FORMATS], key="file", max_upload_size=1, help=ABOUT
    )
    prompts: tuple[PromptRow, ...] = ()
    problem = ""
    if file is not None:
        try:
            prompts = read_prompts(file.name, file.getvalue())
        except InputError as error:
            problem = str(error)
    with right:
        limit()
        word = f"Run {len(prompts)} prompts" if len(prompts) > 1 else "Run"
        st.button(
            word, type="primary", shortcut="Mod+Enter", disabled=not prompts, width="stretch",
            on_click=_start, args=(task, engine_request, prompts),
        )  # fmt: skip
    if problem:
        note(problem, "error")
    for sentence in remarks(prompts, engine_request.task(task)):
        st.caption(plain(sentence))
    batch: Batch | None = STATE.get("batch-of-prompts")
    if batch is None:
        st.caption(ABOUT)
        line = st.empty()
        try:  # so that they are ready when Run is pressed
            models.load(engine_request, lambda sentence: line.caption(plain(sentence)))
            line.caption("Answers are measured one prompt after another, and one system after another.")
        except HybridError as error:
            with line.container():
                note(str(error), "error")
        return
    if batch.state == "running":
        _measure(batch)
    _result(batch)


def _start(task: str, engine_request: EngineRequest, prompts: tuple[PromptRow, ...]) -> None:
    sampling = Sampling(STATE["limit"])
    STATE["batch-of-prompts"] = Batch(task, engine_request, sampling, prompts)


def _stop() -> None:
    STATE["batch-of-prompts"] = STATE["batch-of-prompts"].at_rest()


def _resume() -> None:
    STATE["batch-of-prompts"] = STATE["batch-of-prompts"].resumed()


def _clear() -> None:
    STATE.pop("batch-of-prompts", None)


def _measure(batch: Batch) -> NoReturn:
    """Ask what is left; a click on Stop interrupts it between two prompts, and what was answered stays."""
    bar, line = st.progress(0.0), st.empty()
    st.button("Stop", icon=":material/stop:", on_click=_stop)
    rows = st.empty()

    def say(sentence: str) -> None:
        line.text(sentence)

    try:
        loaded = models.load(batch.engine_request, say)
        batch = replace(batch, conditions=(loaded.conditions, *loaded.notes))
        while (prompt := batch.next()) is not None:
            bar.progress(len(batch.rows) / len(batch.prompts))
            say(f"{progress(batch)} …")
            with rows.container():
                show(table(batch), key=f"batch-{len(batch.rows)}", height=min(len(batch.rows), 8) * 35 + 38)
            batch = STATE["batch-of-prompts"] = batch.with_row(_row(batch, prompt, loaded, say))
    except HybridError as error:
        STATE["batch-of-prompts"] = batch.at_rest(str(error))
    st.rerun()  # without the Stop button


def _row(batch: Batch, prompt: PromptRow, loaded: LoadedSystems, say: Callable[[str], None]) -> Row:
    """One prompt's answers, when it is its turn, or why there are none. Raises BusyError."""
    request = Request(batch.task, prompt.text, batch.sampling, prompt.reference)
    try:
        loaded.notices(request)
        with models.fair_lock().held(
            lambda before: say(f"{progress(batch)}, waiting for {before} before you …")
        ):
            answers = measure_all(loaded.systems, request)
    except InputError as error:
        return Row(prompt, {}, str(error))
    summaries = summarize(answers)
    remember(batch.engine_request.pair, request, summaries, loaded.ran)
    return Row(prompt, summaries)


def _result(batch: Batch) -> None:
    st.header(headline(batch), anchor=False)
    if batch.state == "stopped":
        note(batch.stopped or "Stopped.", "warning" if batch.stopped else "info")
        with st.container(horizontal=True):
            left = len(batch.prompts) - len(batch.rows)
            st.button(f"Go on with the other {left}", icon=":material/play_arrow:", on_click=_resume)
    if batch.answered:
        show(medians(batch), "batch-medians")
        st.caption("An impression, not a benchmark: each prompt once. Use Benchmark for intervals.")
    if batch.rows:
        listing = table(batch)
        show(listing, "batch-rows", height=min(len(listing.rows), 12) * 35 + 38)
        with st.container(horizontal=True):
            save_csv(listing, "live-batch")
            st.button("Clear", on_click=_clear)
    small(*batch.conditions)
