"""One card per system: its answer, its figures and where its time went.

Prompts and answers are only ever given to st.text and to difference(), which show them as they are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from hybrid.format import faster, milliseconds
from hybrid.live import Answers, Shown, baseline_of, speedup
from hybrid.presentation.charts.phase_bars import time_bar, time_bar_in_words
from hybrid.presentation.difference import Part
from hybrid.schema import System
from pages.common.difference import difference

ROLES: Mapping[str, str] = {
    "llm": "The LLM reads and writes",
    "slm": "The SLM reads and writes",
    "hybrid": "The LLM reads, the SLM writes",
    "lossless": "The hybrid drafts, the LLM corrects",
    "lossless-slm": "The SLM drafts, the LLM corrects",
    "lossless-lookup": "The prompt drafts, the LLM corrects",
}
A_ROW = 3  # cards side by side; what a narrow screen has no room for goes below


@dataclass(frozen=True)
class Beside:
    """What a card says besides the answer. ran: the engine. judged: what is said of it, in words of ours.

    parts: the answer with its differences marked, when they are to be shown.
    paced: whether characters per second are shown, as tokens of different tokenizers say less.
    """

    ran: str = ""
    judged: str = ""
    parts: tuple[Part, ...] | None = None
    paced: bool = False


def places(systems: Sequence[System]) -> list[DeltaGenerator]:
    """Draw an empty card for each system, side by side where there is room."""
    a_row = A_ROW if len(systems) != 4 else 2
    card_places = []
    for first in range(0, len(systems), a_row):
        row = systems[first : first + a_row]
        columns = st.columns(min(a_row, len(systems)), gap="medium")
        for place, (system, column) in enumerate(zip(row, columns, strict=False), first):
            key = f"card-{system.method}-{place}"  # see common/style.py: the method chooses the colour
            card_places.append(column.container(border=True, key=key, height="stretch").empty())
    return card_places


def card(
    place: DeltaGenerator, system: System, answers: Answers | None, beside: Beside = Beside()
) -> Callable[[Shown], None]:
    """Draw a system's card, empty when there are no answers yet; returns what draws text and clock.

    place: one of places(); drawing into it again replaces the card.
    """
    answer = answers[system] if answers else None
    base = baseline_of(answers) if answers else system
    gain = speedup(answer, answers[base]) if answer and answers else None
    alone = not answers or len(answers) == 1
    with place.container(gap="xsmall"):
        st.subheader(system.label, anchor=False)
        st.caption(ROLES[system.method] + (f" · {beside.ran}" if beside.ran else ""))
        text = st.container(height=_height(answers), border=False).empty()
        if beside.judged:
            st.caption(beside.judged)
        left, right = st.columns(2, gap="xsmall", wrap=False)
        clock = left.empty()
        pace = _gain(system == base, gain.per_token) if gain and not alone else None
        _figure(right, "Per token", milliseconds(answer.timing.tpot_s if answer else None), pace)
        _figure(left, "First token", milliseconds(answer.timing.ttft_s if answer else None))
        _figure(right, "Tokens", str(len(answer.token_ids)) if answer else "–")
        if beside.paced and answer:
            _figure(left, "Characters/s", f"{len(answer.text) / answer.timing.total_s:,.0f}")
        phases = answer.timing.phases if answer else {}
        slowest_s = max(a.timing.total_s for a in answers.values()) if answers else 1.0
        bar = time_bar(phases, system, slowest_s)
        words = time_bar_in_words(phases, system)
        st.plotly_chart(bar, config={"displayModeBar": False}, alt=words, key=f"bar-{system}-{bool(answer)}")

    def redraw(shown: Shown) -> None:
        if shown.finished and beside.parts is not None:
            with text.container():
                difference(beside.parts, key=f"difference-{system}")
        else:
            text.text(shown.text or " ")
        gained = _gain(system == base, gain.end_to_end) if gain and not alone else None
        _figure(clock, "Total time", milliseconds(shown.elapsed_s), gained)

    if not answer:
        _figure(clock, "Total time", milliseconds(None))
    return redraw


def _gain(is_base: bool, ratio: float | None) -> str:
    return "baseline" if is_base else faster(ratio)


def _figure(place: DeltaGenerator, label: str, value: str, gain: str | None = None) -> None:
    place.metric(label, value, gain, delta_color="off", delta_arrow="off")


def _height(answers: Answers | None) -> int:
    """Pixels that hold the longest answer in the width of a card; more is scrolled."""
    longest = max(len(answer.text) for answer in answers.values()) if answers else 0
    a_line = {1: 150, 2: 64}.get(len(answers or ()), 40)  # characters, fewer than fit
    return min(max(longest // a_line + 1, 3), 10) * 26 + 26
