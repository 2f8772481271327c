"""Examples laid side by side: what a page shows of some of them, and all of them as rows of a table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from hybrid.compare.export import BETWEEN_REFERENCES
from hybrid.metrics import METRICS
from hybrid.presentation.difference import Part, words
from hybrid.presentation.examples.arrangement import Examples, Places
from hybrid.schema import BASELINE, System
from hybrid.store.tables import Cell

Against = Literal["reference", "llm", "nothing"]


@dataclass(frozen=True)
class Answer:
    """One system's answer to one example. parts: its text, and how it differs. Figures: as in Side.

    others: its own scores by metrics beside the default ones, by name. faults: that checks have found, in
    a few words each.
    """

    system: System
    parts: Sequence[Part]
    stopped: bool
    figures: Mapping[str, float | None]
    others: Mapping[str, float | None]
    faults: Sequence[str] = ()


@dataclass(frozen=True)
class Card:
    """One example with the answers that there are."""

    id: str
    domain: str
    source: str
    references: Sequence[str]
    answers: Sequence[Answer]


FIGURES = ("score", "loss", "total_ms", "ttft_ms", "tpot_ms", "output_tokens", "prompt_tokens", "speedup")


def cards(
    examples: Examples, places: Sequence[int], systems: Sequence[System], against: Against = "reference"
) -> list[Card]:
    """Tell what is shown of some examples. against: what each answer's words are compared with."""
    return [_card(examples, place, systems, against) for place in places]


COLUMNS: Mapping[str, str] = {
    "example_id": "unique in the suite",
    "domain": "the part of the suite",
    "system": "llm, slm, hybrid, lossless ...; with @ENGINE when it is not the run's own",
    "source": "the example's text",
    "references": "what is known to answer it; several have three vertical bars between them",
    "text": "the answer of the first repeat",
    "metric": "name of the score",
    "score": "of this answer alone",
    "loss": "the LLM's score minus this one",
    "prompt_tokens": "tokens of the prompt, end of sequence included",
    "output_tokens": "tokens of the answer, end of sequence included",
    "finish_reason": "eos, or length when it ended at the limit of new tokens",
    "total_ms": "end-to-end latency, median over the repeats",
    "ttft_ms": "time to first token, median over the repeats",
    "tpot_ms": "time per output token after the first, median over the repeats; empty when there was one",
    "speedup": "the LLM's total_ms over this one",
}
_TEXTS = ("example_id", "domain", "system", "source", "references", "text", "finish_reason")


def columns(examples: Examples) -> list[str]:
    """Name COLUMNS, and behind them the metrics beside the default ones that an answer was scored by."""
    return [*COLUMNS, *examples.others]


def rows(examples: Examples, places: Places, systems: Sequence[System]) -> Iterator[tuple[Cell, ...]]:
    """Make a row of columns() of each answer of `systems` to the examples at `places`, one by one."""
    blocks = []
    for system in systems:
        side = examples.sides[system]
        at = places[side.row[places] >= 0]
        block = examples.table[[*_TEXTS, *examples.others]].iloc[side.row[at]].reset_index(drop=True)
        figures = {name: getattr(side, name)[at] for name in FIGURES}
        block = block.assign(metric=examples.metric or "", **figures)
        block.index = pd.Index(np.flatnonzero(side.row[places] >= 0))
        blocks.append(block)
    together = pd.concat(blocks).sort_index(kind="stable")[columns(examples)]
    for row in together.itertuples(index=False, name=None):
        yield tuple(None if isinstance(cell, float) and cell != cell else cell for cell in row)


def _card(examples: Examples, place: int, systems: Sequence[System], against: Against) -> Card:
    example = examples.table.iloc[examples.any_row[place]]
    references = str(example["references"]).split(BETWEEN_REFERENCES)
    llm = examples.sides.get(BASELINE)
    llm_texts = [str(examples.table["text"].iloc[llm.row[place]])] if llm and llm.row[place] >= 0 else []
    olds = {"reference": references, "llm": llm_texts, "nothing": []}[against]
    answers = []
    for system in systems:
        side = examples.sides[system]
        if side.row[place] < 0:
            continue
        text = str(examples.table["text"].iloc[side.row[place]])
        same = against == "llm" and system == BASELINE
        figures = {name: _known(getattr(side, name)[place]) for name in FIGURES}
        parts = _closest([] if same else olds, text)
        others = {name: _known(examples.table[name].iloc[side.row[place]]) for name in examples.others}
        faults = [check.fault for check in examples.checks if others[check.name]]
        others = {name: value for name, value in others.items() if not METRICS[name].catches}
        answers.append(Answer(system, parts, bool(side.stopped[place]), figures, others, faults))
    return Card(examples.ids[place], str(example["domain"]), str(example["source"]), references, answers)


def _closest(olds: Sequence[str], text: str) -> Sequence[Part]:
    """Give the difference from the one that has most in common with the text."""
    differences = [words(old, text) for old in olds] or [(Part("same", text),)]
    return max(differences, key=lambda parts: sum(len(part.text) for part in parts if part.kind == "same"))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
