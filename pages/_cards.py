"""One card per system: its answer, its figures and where its time went.

Prompts and answers are only ever given to st.text, which shows them as they are.
"""

from collections.abc import Callable, Mapping

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from hybrid.charts import SYSTEM_NAMES, milliseconds, time_bar, time_bar_in_words
from hybrid.live import Answers, Shown, faster, speedup
from hybrid.schema import SYSTEMS, System

ROLES: Mapping[System, str] = {
    "llm": "The LLM reads and writes",
    "slm": "The SLM reads and writes",
    "hybrid": "The LLM reads, the SLM writes",
}


def places() -> dict[System, DeltaGenerator]:
    """An empty card for each system, side by side where there is room."""
    columns = zip(SYSTEMS, st.columns(len(SYSTEMS), gap="medium"), strict=True)
    return {
        s: column.container(border=True, key=f"card-{s}", height="stretch").empty() for s, column in columns
    }


def card(place: DeltaGenerator, system: System, answers: Answers | None) -> Callable[[Shown], None]:
    """Draw a system's card, empty when there are no answers yet; returns what draws text and clock.

    place: one of places(); drawing into it again replaces the card.
    """
    made = answers[system] if answers else None
    gain = speedup(made, answers["llm"]) if made and answers else None
    with place.container(gap="xsmall"):
        st.subheader(SYSTEM_NAMES[system], anchor=False)
        st.caption(ROLES[system])
        text = st.container(height=_height(answers), border=False).empty()
        left, right = st.columns(2, gap="xsmall", wrap=False)
        clock = left.empty()
        pace = _gain(system, gain.per_token) if gain else None
        _figure(right, "Per token", milliseconds(made.timing.tpot_s if made else None), pace)
        _figure(left, "First token", milliseconds(made.timing.ttft_s if made else None))
        _figure(right, "Tokens", str(len(made.token_ids)) if made else "–")
        phases = made.timing.phases if made else {}
        slowest_s = max(a.timing.total_s for a in answers.values()) if answers else 1.0
        bar = time_bar(phases, system, slowest_s)
        st.plotly_chart(bar, config={"displayModeBar": False}, alt=time_bar_in_words(phases, system))

    def redraw(shown: Shown) -> None:
        text.text(shown.text or " ")
        _figure(
            clock,
            "Total time",
            milliseconds(shown.elapsed_s),
            _gain(system, gain.end_to_end) if gain else None,
        )

    if not made:
        _figure(clock, "Total time", milliseconds(None))
    return redraw


def _gain(system: System, ratio: float | None) -> str:
    return "baseline" if system == "llm" else faster(ratio) or "–"


def _figure(place: DeltaGenerator, label: str, value: str, gain: str | None = None) -> None:
    place.metric(label, value, gain, delta_color="off", delta_arrow="off")


def _height(answers: Answers | None) -> int:
    """Pixels that hold the longest answer in a third of the page; more is scrolled."""
    longest = max(len(made.text) for made in answers.values()) if answers else 0
    return min(max(longest // 32 + 1, 3), 10) * 26 + 26
