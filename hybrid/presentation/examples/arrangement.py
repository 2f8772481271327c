"""A run by example: every system's answer to each, found, filtered and put in order.

arrange() is called once for a run; what happens at every click are a few operations on whole columns:

    places = find(examples, Query("loss", "hybrid"))   # of the examples that match, the worst first
    cards(examples, places[:10], ("llm", "hybrid"))    # in example_cards: what a page shows of them
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybrid.metrics import METRICS, Check, metrics_of
from hybrid.schema import BASELINE, TASKS, System

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Bools = NDArray[np.bool_]

TIMES = ("total_ms", "ttft_ms", "tpot_ms")


@dataclass(frozen=True)
class Side:
    """One system's answers by example, (E,) each; NaN where there is none.

    row: in the table of answers, of the first repeat's answer; -1 where there is none. Text, tokens and
    score are that answer's, times the medians over the repeats. speedup: the LLM's total over its own.
    loss: the LLM's score minus its own. differs: in text from the LLM's answer, where both are there.
    """

    row: Places
    prompt_tokens: Floats
    output_tokens: Floats
    total_ms: Floats
    ttft_ms: Floats
    tpot_ms: Floats
    score: Floats
    speedup: Floats
    loss: Floats
    differs: Bools
    stopped: Bools


@dataclass(frozen=True)
class Examples:
    """The E examples of a run that have an answer, by their ids with numbers in order of size.

    table: of views.answers. any_row: one row of each example in it. metric: that of `score`, the
    task's main one; None where nothing is scored. repeats: the most answers of one system to an example.
    others: metrics beside the default ones that an answer was scored by.
    """

    table: pd.DataFrame
    ids: Sequence[str]
    any_row: Places
    sides: Mapping[System, Side]
    metric: str | None
    repeats: int
    others: tuple[str, ...] = ()

    @property
    def domains(self) -> list[str]:
        return [str(name) for name in self.table["domain"].cat.categories]

    @property
    def checks(self) -> list[Check]:
        """The checks of which an answer has the fault."""
        checks = (METRICS[name] for name in self.others)
        return [check for check in checks if isinstance(check, Check) and (self.table[check.name] > 0).any()]

    def faulty(self, system: System, check: str) -> Bools:
        """Tell which examples have an answer of this system with the fault of a check, (E,)."""
        return _picked(self.table[check], self.sides[system].row) > 0

    def place(self, example_id: str) -> int | None:
        """Where an example is; None when it is not there."""
        return self.ids.index(example_id) if example_id in self.ids else None


@dataclass(frozen=True)
class Order:
    """How examples are sorted. compared: against the LLM. scored: by quality."""

    label: str
    key: Callable[[Side], Floats]
    compared: bool = False
    scored: bool = False


ORDERS: Mapping[str, Order] = {
    "loss": Order("Largest quality loss", lambda side: -side.loss, compared=True, scored=True),
    "gain": Order("Largest quality gain", lambda side: side.loss, compared=True, scored=True),
    "speedup": Order("Largest speed-up", lambda side: -side.speedup, compared=True),
    "slowdown": Order("Smallest speed-up", lambda side: side.speedup, compared=True),
    "slowest": Order("Slowest", lambda side: -side.total_ms),
    "fastest": Order("Fastest", lambda side: side.total_ms),
    "output": Order("Longest output", lambda side: -side.output_tokens),
    "prompt": Order("Longest prompt", lambda side: -side.prompt_tokens),
    "id": Order("Order of the suite", lambda side: np.zeros(len(side.row))),
}


@dataclass(frozen=True)
class Query:
    """What is shown first, and what at all. order: of ORDERS, by `system`'s answers.

    differs: only where `system`'s answer is another than the LLM's. stopped: only where one of
    `systems` stopped at the limit of new tokens. fault: only where an answer of one of `systems` has that
    of this check. contains: in source, references or any
    answer, whatever the case of its letters; no pattern.
    """

    order: str
    system: System
    systems: Sequence[System] = ()
    differs: bool = False
    stopped: bool = False
    fault: str | None = None
    domain: str | None = None
    contains: str = ""


def arrange(table: pd.DataFrame, systems: Sequence[System]) -> Examples:
    """Give the answers of one run by example. systems: in the order in which they are shown."""
    codes, unique_ids = pd.factorize(table["example_id"])
    ids = [str(name) for name in unique_ids]
    order = sorted(range(len(ids)), key=lambda code: _natural(ids[code]))
    rank = np.empty(len(ids), dtype=np.int64)
    rank[order] = np.arange(len(ids))
    places = rank[codes]
    any_row = np.empty(len(ids), dtype=np.int64)
    any_row[places[::-1]] = np.arange(len(table))[::-1]
    metric = next((name for name in _main_metrics() if table[name].notna().any()), None)
    sides: dict[System, Side] = {}
    for system in sorted(systems, key=lambda system: system != BASELINE):  # all others look at the LLM's
        sides[system] = _side(table, places, len(ids), system, metric, sides.get(BASELINE))
    repeats = int(table["repeat"].max()) + 1 if len(table) else 1
    others = tuple(name for name, m in METRICS.items() if not m.default and table[name].notna().any())
    return Examples(table, tuple(ids[code] for code in order), any_row, sides, metric, repeats, others)


def orders(system: System, systems: Sequence[System], scored: bool) -> list[str]:
    """Give the names in ORDERS that say something about `system` among `systems`. scored: it has quality."""
    compared = system != BASELINE and BASELINE in systems
    return [
        name
        for name, order in ORDERS.items()
        if (compared or not order.compared) and (scored or not order.scored)
    ]


def find(examples: Examples, query: Query) -> Places:
    """Give the places of the examples that match, in order; those without a value last, equal ones by id."""
    side = examples.sides[query.system]
    keep = np.ones(len(examples.ids), dtype=np.bool_)
    if query.differs:
        keep &= side.differs
    if query.stopped:
        keep &= np.any([examples.sides[system].stopped for system in query.systems], axis=0)
    if query.fault is not None:
        keep &= np.any([examples.faulty(system, query.fault) for system in query.systems], axis=0)
    if query.domain is not None:
        names = examples.domains
        code = names.index(query.domain) if query.domain in names else len(names)
        keep &= examples.table["domain"].cat.codes.to_numpy()[examples.any_row] == code
    if query.contains:
        keep &= _containing(examples, query.contains)
    matching = np.flatnonzero(keep)
    return matching[np.argsort(ORDERS[query.order].key(side)[matching], kind="stable")]


def _side(
    table: pd.DataFrame, places: Places, count: int, system: System, metric: str | None, llm: Side | None
) -> Side:
    """llm: the LLM's own side, already made; None for the LLM, or without one."""
    rows_of = np.flatnonzero((table["system"] == system).to_numpy())
    at, repeat = places[rows_of], table["repeat"].to_numpy()[rows_of]
    row = np.full(count, -1, dtype=np.int64)
    latest_first = np.argsort(-repeat, kind="stable")
    row[at[latest_first]] = rows_of[latest_first]
    times = {name: _medians(table[name].to_numpy()[rows_of], at, count) for name in TIMES}
    nothing = np.full(count, np.nan)
    score = _picked(table[metric], row) if metric else nothing
    their_ms, their_score = (times["total_ms"], score) if system == BASELINE else (nothing, nothing)
    if llm:
        their_ms, their_score = llm.total_ms, llm.score
    comparable = (times["total_ms"] > 0) & (their_ms > 0)  # a clock too coarse for the answer gives no ratio
    return Side(
        row, _picked(table["prompt_tokens"], row), _picked(table["output_tokens"], row), **times, score=score,
        speedup=np.divide(their_ms, times["total_ms"], out=nothing.copy(), where=comparable),
        loss=their_score - score,
        differs=_differ(table, row, llm.row if llm else row),
        stopped=_picked(table["finish_reason"] == "length", row) > 0,
    )  # fmt: skip


def _picked(column: "pd.Series[Any]", row: Places) -> Floats:
    """Give the column's values in these rows; NaN for row -1 and for what is not finite."""
    if not len(column):
        return np.full(len(row), np.nan)
    values = column.to_numpy(dtype=np.float64)[row]
    return np.where((row >= 0) & np.isfinite(values), values, np.nan)


def _medians(values: Floats, at: Places, count: int) -> Floats:
    values = np.where(np.isfinite(values), values, np.nan)
    by_example = np.full(count, np.nan)
    if len(np.unique(at)) == len(at):
        by_example[at] = values
    else:
        medians = pd.Series(values).groupby(at).median()
        by_example[medians.index.to_numpy()] = medians.to_numpy()
    return by_example


def _differ(table: pd.DataFrame, row: Places, other: Places) -> Bools:
    differs = np.zeros(len(row), dtype=np.bool_)
    both = np.flatnonzero((row >= 0) & (other >= 0))
    texts, other_texts = (table["text"].take(rows[both]).reset_index(drop=True) for rows in (row, other))
    differs[both] = (texts != other_texts).to_numpy()
    return differs


def _containing(examples: Examples, text: str) -> Bools:
    """Examples with the text in them. Lower case on both sides, as a letter has several only rarely."""
    lowered, keep = text.lower(), np.zeros(len(examples.ids), dtype=np.bool_)
    for column in ("source", "references"):
        keep |= _has(examples.table[column].take(examples.any_row), lowered)
    for side in examples.sides.values():
        rows = np.flatnonzero(side.row >= 0)
        keep[rows] |= _has(examples.table["text"].take(side.row[rows]), lowered)
    return keep


def _has(texts: "pd.Series[str]", text: str) -> Bools:
    return texts.str.lower().str.contains(text, regex=False).to_numpy(dtype=np.bool_)


def _natural(name: str) -> tuple[tuple[bool, int, str], ...]:
    """Sorts news-9 before news-10, without reading numbers of any length."""
    pieces = re.split(r"([0-9]+)", name)
    numbers = [number.lstrip("0") for number in pieces[1::2]]
    pieces[1::2] = numbers
    return tuple((place % 2 == 0, len(piece) * (place % 2), piece) for place, piece in enumerate(pieces))


def _main_metrics() -> list[str]:
    return list(dict.fromkeys(metrics_of(task)[0] for task in TASKS.values()))
