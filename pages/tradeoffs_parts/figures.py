"""The four figures of the Trade-offs page, each with its own question and controls."""

import streamlit as st

from hybrid.format import capitalized
from hybrid.metrics import METRICS
from hybrid.presentation.tradeoffs.quality import qualities, quality_figure, without_quality
from hybrid.presentation.tradeoffs.results import LATENCIES
from hybrid.presentation.tradeoffs.selection import FigureSelection
from hybrid.presentation.tradeoffs.speedup_by_length import WORDS, lengths_figure
from hybrid.presentation.tradeoffs.times import phases_figure, spread_figure
from pages.common.figure import figure, ground
from pages.common.notes import note, notes

LENGTH_LABELS = {"output": "By length of answer", "input": "By length of prompt"}
NARROW = "<style>@media (max-width: 900px) { .st-key-figure-quality .textpoint { display: none; } }</style>"
SCALES = {"ms": "Milliseconds", "share": "Share of each"}


def quality(chosen: FigureSelection, place: st.delta_generator.DeltaGenerator) -> str:
    """Quality against latency. place: for the controls; returns the latency that was chosen there."""
    task = chosen.runs[0][0].task
    metrics = qualities(task, [row for digest, _ in chosen.runs for row in digest.rows.values()])
    with place:
        labels = {name: METRICS[name].label for name in metrics}
        metric = _pick("Quality", labels, "metric") if labels else ""
        latency = _pick("Latency", {name: capitalized(words) for name, words in LATENCIES.items()}, "latency")
    others = [digest.run_id for digest, _ in chosen.runs if digest.task.name != task.name]
    if others:
        note(
            f"Not in this figure: {', '.join(others)}. The task is another one than that of "
            f"{chosen.runs[0][0].run_id}, and its scores cannot be set beside these.",
            "warning",
        )
    same = chosen.of_task(task)
    for run_id in without_quality(same, metric):
        note(
            f"Run {run_id} has no quality to draw: answers of a fixed length go on after their natural end, "
            "and a run without answers, or not scored by this metric, has none yet."
        )
    if drawing := quality_figure(same, metric, latency) if metric else None:
        st.html(NARROW)  # where labels would cover each other; the legend has the names, too
        figure("quality", drawing)
        for remark in dict.fromkeys(remark for digest, _ in same.runs for remark in digest.remarks):
            st.caption(remark)
    return latency


def lengths(chosen: FigureSelection) -> None:
    """Speed-up by length."""
    kind = _switch("Length", LENGTH_LABELS, "length")
    drawing = lengths_figure(chosen, "input" if kind == "input" else "output")
    left_out = [times.why for _, times in chosen.runs if times.why]
    for why in left_out:
        note(why)
    if drawing:
        figure(f"speedup-by-{kind}", drawing)
    elif not left_out:
        note(f"There is nothing to draw by {WORDS['output']}: it takes 10 examples and two systems.")


def phases(chosen: FigureSelection) -> None:
    """Where the time goes."""
    share = _switch("Scale", SCALES, "scale") == "share"
    if drawing := phases_figure(chosen, share, ground()):
        figure("phases", drawing)
    else:
        note("No answers were timed yet.")


def spread(chosen: FigureSelection, latency: str) -> None:
    """How latencies are spread."""
    if drawing := spread_figure(chosen, latency):
        figure("latencies", drawing)
    else:
        note("No system has this latency: answers of one token have no time per output token.")


def warnings(chosen: FigureSelection) -> None:
    """Draw what to know before believing the numbers."""
    sentences = [warning for digest, _ in chosen.runs for warning in digest.warnings]
    notes([*chosen.differences.sentences, *sentences])


def _pick(label: str, options: dict[str, str], key: str) -> str:
    first = next(iter(options))
    return st.selectbox(
        label, list(options), format_func=options.__getitem__, key=key, bind="query-params", width=232
    ) or first  # fmt: skip


def _switch(label: str, options: dict[str, str], key: str) -> str:
    first = next(iter(options))
    return st.segmented_control(
        label, list(options), default=first, required=True, format_func=options.__getitem__, key=key,
        bind="query-params", label_visibility="collapsed",
    ) or first  # fmt: skip
