"""Examples with the answers of all systems side by side, as cards."""

from collections.abc import Callable, Sequence

import streamlit as st

from hybrid.format import NOTHING, milliseconds, printable, ratio
from hybrid.metrics import METRICS
from hybrid.presentation.charts import color_of
from hybrid.presentation.difference import Part
from hybrid.presentation.examples.cards import Answer, Card
from hybrid.schema import BASELINE
from pages.common.difference import MARKED_CSS, MARKED_JS, as_rows
from pages.examples_parts.style import CSS, JS

KEY = "example-cards"
NO_TEXT = "(no text)"
STOPPED = "Stopped at the limit of new tokens"

_cards = st.components.v2.component(
    "hybrid_bench_examples", html='<div class="cards"></div>', css=CSS + MARKED_CSS, js=MARKED_JS + JS
)


def draw(
    cards: Sequence[Card], metric: str | None, removed: bool, page: int, choose: Callable[[str], None] | None
) -> None:
    """One card under the other. metric: of the scores. removed: show words that an answer lacks, too.

    page: another one scrolls to the first card. choose: is told the id of an example whose link is pressed,
    which may be any text; None draws no links.
    """

    def chosen() -> None:
        example_id = getattr(st.session_state[KEY], "chosen", None)
        if choose and isinstance(example_id, str):
            choose(example_id)

    data = {
        "cards": [_card(card, metric) for card in cards],
        "removed": removed, "page": str(page), "link": "Link to this example" if choose else "",
    }  # fmt: skip
    _cards(key=KEY, data=data, on_chosen_change=chosen)


def _card(card: Card, metric: str | None) -> dict[str, object]:
    several = len(card.references) > 1
    references = [
        (f"Reference {number}" if several else "Reference", text)
        for number, text in enumerate(card.references, start=1)
    ]
    shown_texts = [("Source", card.source), *references]
    texts = [[title, as_rows([Part("same", text or NO_TEXT)])] for title, text in shown_texts]
    return {
        "id": card.id, "name": printable(card.id), "domain": printable(card.domain), "texts": texts,
        "answers": [_answer(answer, metric) for answer in card.answers],
    }  # fmt: skip


def _answer(answer: Answer, metric: str | None) -> dict[str, object]:
    blank = not any(part.text.strip() for part in answer.parts if part.kind != "removed")
    return {
        "name": printable(answer.system.label), "color": color_of(answer.system),
        "parts": [] if blank else as_rows(answer.parts), "empty": NO_TEXT,
        "stopped": ", ".join([*[STOPPED] * answer.stopped, *answer.faults]),
        "figures": _figures(answer, metric),
    }  # fmt: skip


def _figures(answer: Answer, metric: str | None) -> list[tuple[str, str]]:
    """Label and value of each, as shown; a dash for what is not known."""
    known, baseline = answer.figures, answer.system == BASELINE
    scores = []
    if metric:
        change = "" if baseline or known["loss"] is None else f" ({_signed(-known['loss'])})"
        label = METRICS[metric].label + (" (to LLM)" if change else "")
        scores = [(label, _rounded(known["score"], 1) + change)]
    scores += [(METRICS[name].label, _rounded(value, 1)) for name, value in answer.others.items()]
    speedup = "baseline" if baseline else ratio(known["speedup"])
    times = [
        (label, _milliseconds(known[name]))
        for label, name in (("Total", "total_ms"), ("TTFT", "ttft_ms"), ("TPOT", "tpot_ms"))
    ]
    return [*scores, ("Speed-up", speedup), ("Tokens", _rounded(known["output_tokens"], 0)), *times]


def _milliseconds(value: float | None) -> str:
    return NOTHING if value is None else milliseconds(value / 1000)


def _rounded(value: float | None, digits: int) -> str:
    return NOTHING if value is None else f"{value:.{digits}f}"


def _signed(value: float) -> str:
    rounded = round(value, 1)
    return "±0.0" if rounded == 0 else f"{rounded:+.1f}".replace("-", "−")
