"""How the Live page compares answers: the replay's pace, differences word by word, scores."""

from dataclasses import dataclass

import streamlit as st

from hybrid.live import Answers, Request, baseline_of
from hybrid.live.model_cache import EngineRequest
from hybrid.live.verdicts import fidelity_in_words, scores, scores_in_words
from hybrid.models.manifest import one_tokenizer
from hybrid.presentation.difference import Part, words
from hybrid.schema import System
from pages.live_parts.cards import Beside
from pages.live_parts.settings import SLOWDOWNS

TO_LLM, TO_REFERENCE = "to the LLM", "to the reference"


@dataclass(frozen=True)
class Answered:
    """What was measured, and under which conditions. notices: on the prompt."""

    engine_request: EngineRequest
    request: Request
    answers: Answers
    ran: dict[System, str]
    conditions: tuple[str, ...]
    notices: tuple[str, ...]


def controls(answered: Answered) -> tuple[int, str | None]:
    """How many times slower than measured the replay runs, and what the answers are compared with."""
    choices = [TO_LLM] if _llm(answered) else []
    choices += [TO_REFERENCE] if answered.request.reference.strip() else []
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("Replay", width="content")
        slowdown: int = st.segmented_control(
            "Replay speed", list(SLOWDOWNS), default=4, format_func=SLOWDOWNS.__getitem__, required=True,
            key="slowdown", bind="query-params", on_change=_replay,
            label_visibility="collapsed",
        )  # fmt: skip
        st.button("Again", icon=":material/replay:", on_click=_replay)
        marked = st.toggle("Show differences", key="differences", bind="query-params", disabled=not choices)
        against = None
        if marked and choices:
            against = st.segmented_control(
                "Differences", choices, default=choices[-1], required=True, key="against",
                bind="query-params", label_visibility="collapsed",
            )  # fmt: skip
    if against:
        other = "the LLM's answer" if against == TO_LLM else "the reference"
        st.caption(f"Underlined: not in {other}. Struck through: only in {other}.")
    return slowdown, against


def beside(answered: Answered, system: System, against: str | None) -> Beside:
    text, reference = answered.answers[system].text, answered.request.reference
    task = answered.engine_request.task(answered.request.task)
    judged = scores_in_words(scores(task, [text], [reference])) if reference.strip() else ""
    judged = f"Against the reference: {judged}" if judged else ""
    llm = _llm(answered)
    parts: tuple[Part, ...] | None = None
    if against == TO_REFERENCE:
        parts = words(reference, text)
    elif against == TO_LLM and llm and llm != system:
        parts = words(answered.answers[llm].text, text)
    if llm and (fidelity := fidelity_in_words(system, text, answered.answers[llm].text)):
        judged = f"{judged}. {fidelity}" if judged else fidelity
    elif parts is not None and all(part.kind == "same" for part in parts):
        same = f"Word for word {'the reference' if against == TO_REFERENCE else 'the answer of the LLM'}"
        judged = f"{judged}. {same}" if judged else same
    paced = not one_tokenizer(answered.engine_request.manifest)
    return Beside(answered.ran[system], judged, parts, paced)


def _llm(answered: Answered) -> System | None:
    """Give the LLM's own answer among them: the baseline, where that is the LLM."""
    base = baseline_of(answered.answers)
    return base if base.method == "llm" and len(answered.answers) > 1 else None


def _replay() -> None:
    st.session_state["replay"] = True
