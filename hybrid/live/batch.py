"""Several prompts, one after another: what is left to ask, what was answered, and the medians.

An impression, not a benchmark: every prompt once, no intervals. Frozen, so that
a page may keep it between two clicks and go on where it was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

from hybrid.format import milliseconds
from hybrid.live.history import Told
from hybrid.live.prompts_file import Asked
from hybrid.live.scoring import labels, scores
from hybrid.live.shelf import Wanted
from hybrid.live.verdicts import baseline_of, verdict_on
from hybrid.schema import Sampling, System
from hybrid.store.tables import Cell, Table

State = Literal["running", "stopped", "done"]


@dataclass(frozen=True)
class Row:
    """One prompt that was asked. told: by system. problem: why there is no answer, in a sentence."""

    asked: Asked
    told: Mapping[System, Told]
    problem: str = ""


@dataclass(frozen=True)
class Batch:
    """Prompts of one file, asked of the same systems.

    stopped: why, in a sentence, or empty. conditions: what it was measured under, in sentences.
    """

    task: str
    wanted: Wanted
    sampling: Sampling
    prompts: tuple[Asked, ...]
    rows: tuple[Row, ...] = ()
    state: State = "running"
    stopped: str = ""
    conditions: tuple[str, ...] = ()

    @property
    def systems(self) -> tuple[System, ...]:
        return self.wanted.systems

    @property
    def answered(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.told)

    def next(self) -> Asked | None:
        """The prompt to ask now; None when all were, or when it was stopped."""
        return self.prompts[len(self.rows)] if self.state == "running" else None

    def with_row(self, row: Row) -> "Batch":
        rows = (*self.rows, row)
        return replace(self, rows=rows, state="done" if len(rows) == len(self.prompts) else "running")

    def at_rest(self, why: str = "") -> "Batch":
        """Stopped by the visitor, or because of what the sentence says; nothing that was answered is lost."""
        return replace(self, state="stopped", stopped=why) if self.state == "running" else self

    def resumed(self) -> "Batch":
        return replace(self, state="running", stopped="") if self.state == "stopped" else self


def medians(batch: Batch) -> Table:
    """A row for each system over the prompts that all of them answered."""
    rows: list[list[Cell]] = []
    answered, judged = batch.answered, _judged(batch)
    base = baseline_of(batch.systems)
    judgements = labels(batch.task) if judged else ()
    for system in batch.systems if answered else ():
        told = [row.told[system] for row in answered]
        texts = [row.told[system].text for row in judged]
        found = scores(batch.task, texts, [row.asked.reference for row in judged])
        rows.append(
            [
                system.label, len(answered), _ms(median(one.total_s for one in told)),
                _ms(median(one.ttft_s for one in told)), median(one.tokens for one in told),
                round(_gain(answered, system, base), 2),
                *(round(found[label].value, 1) for label in judgements),
            ]
        )  # fmt: skip
    columns = {
        "system": "Who answered.",
        "n": "Prompts that all systems answered.",
        "median ms": "Median of the total times.",
        "median TTFT ms": "Median of the times to first token.",
        "median tokens": "Median of the answers' lengths.",
        "median speed-up": f"Median over prompts of the total time of {base.label} divided by this one's.",
    }
    about = f"Over the {len(judged)} prompts with a reference, in points from 0 to 100."
    return Table(columns | dict.fromkeys(judgements, about), rows)


def headline(batch: Batch) -> str:
    """The medians in a sentence, of all prompts that were answered."""
    answered = batch.answered
    if not answered:
        return "No prompt was answered."
    times_s = {s: median(row.told[s].total_s for row in answered) for s in batch.systems}
    base = baseline_of(batch.systems)
    gains = {system: _gain(answered, system, base) for system in batch.systems}
    return f"Medians over n = {len(answered)}: {verdict_on(times_s, gains)}"


def table(batch: Batch) -> Table:
    """A row for each prompt that was asked."""
    base = baseline_of(batch.systems)
    columns = {"prompt": "Its place in the file.", "source": "As it was asked."}
    if any(asked.reference for asked in batch.prompts):
        columns["reference"] = "As the file gives it."
    for system in batch.systems:
        columns[f"{system} ms"] = f"Total time of {system.label}."
        if system != base:
            columns[f"{system} speed-up"] = f"Total time of {base.label} divided by it."
    columns |= {f"{system} answer": f"What {system.label} wrote." for system in batch.systems}
    columns["problem"] = "Why there is no answer."
    return Table(columns, [_cells(n, row, batch, columns) for n, row in enumerate(batch.rows, 1)])


def progress(batch: Batch) -> str:
    """How far it is, in a sentence."""
    done, all_of = len(batch.rows), len(batch.prompts)
    spent = sum(told.total_s for row in batch.answered for told in row.told.values())
    pace = f", {milliseconds(spent / len(batch.answered))} a prompt in all systems" if batch.answered else ""
    return f"{done} of {all_of} prompts measured{pace}"


def _cells(number: int, row: Row, batch: Batch, columns: Mapping[str, str]) -> list[Cell]:
    found: dict[str, Cell] = {
        "prompt": number, "source": row.asked.text, "reference": row.asked.reference, "problem": row.problem
    }  # fmt: skip
    base = row.told.get(baseline_of(batch.systems))
    for system, told in row.told.items():
        found[f"{system} ms"] = _ms(told.total_s)
        found[f"{system} speed-up"] = round(base.total_s / told.total_s, 2) if base else None
        found[f"{system} answer"] = told.text
    return [found.get(name) for name in columns]


def _gain(rows: Sequence[Row], system: System, base: System) -> float:
    """The median of the speed-ups, each of one prompt: not the ratio of the medians."""
    return median(row.told[base].total_s / row.told[system].total_s for row in rows)


def _judged(batch: Batch) -> tuple[Row, ...]:
    return tuple(row for row in batch.answered if row.asked.reference.strip())


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
