"""Prompts from a file, one after another: what is left to ask, what was answered, and the medians.

The file is read as hybrid.suites.tables reads any table; references may be missing. A .txt holds a prompt
a line.

An impression, not a benchmark: every prompt once, no intervals. Frozen, so that a page may keep it between
two clicks and go on where it was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import PurePath
from statistics import median
from typing import Literal

from hybrid.errors import InputError, SuiteError
from hybrid.format import listed, milliseconds, printable
from hybrid.live.history import AnswerSummary
from hybrid.live.model_cache import EngineRequest
from hybrid.live.verdicts import baseline_of, labels, scores, verdict_on
from hybrid.schema import Example, Sampling, System, Task
from hybrid.schema.texts import normalized
from hybrid.store.tables import Cell, Table
from hybrid.suites import rows as suite_rows
from hybrid.suites.rows import RowError, to_prompt
from hybrid.suites.tables import KINDS, read_rows, text_lines

MOST = 100  # prompts: more belong into a benchmark
MOST_BYTES = 1_000_000
LONGEST = 20_000  # characters of a text; a pair reads a few thousand
FORMATS = (".txt", *KINDS)
State = Literal["running", "stopped", "done"]


@dataclass(frozen=True)
class PromptRow:
    """One prompt of a file. reference: empty when there is none."""

    text: str
    reference: str = ""


def read_prompts(name: str, data: bytes) -> tuple[PromptRow, ...]:
    """Give the prompts of a file in their order; blank lines are passed over.

    name: of the file; its ending says how to read it. Raises InputError, naming
    the line, for what cannot be read, too much of it, and nothing at all.
    """
    kind, file_name = PurePath(name).suffix.lower(), printable(name)
    if kind not in FORMATS:
        raise InputError(f"{file_name} is none of {', '.join(FORMATS)}; save it as one of them.")
    if len(data) > MOST_BYTES:
        raise InputError(f"{file_name} has {len(data):,} bytes; {MOST_BYTES:,} are read at the most.")
    prompts: list[PromptRow] = []
    try:
        for number, row in read_rows(file_name, text_lines(file_name, BytesIO(data)), kind, prompts=True):
            if kind == ".txt" and not normalized(str(row["source"])):
                continue
            prompts.append(_prompt(f"{file_name}, line {number}", row))
            if len(prompts) > MOST:
                raise InputError(
                    f"{file_name} has more than {MOST} prompts; take a part of it here, "
                    "or measure all of it on the Benchmark page."
                )
    except SuiteError as error:
        raise InputError(str(error)) from error
    if not prompts:
        raise InputError(f"{file_name} holds no prompt.")
    return tuple(prompts)


def remarks(prompts: Sequence[PromptRow], task: Task) -> tuple[str, ...]:
    """Say what a person should know of these texts before they are answered and scored."""
    examples = [Example("", "", prompt.text, (prompt.reference,)) for prompt in prompts]
    return suite_rows.remarks(examples, task.lines)


def _prompt(place: str, row: suite_rows.Row) -> PromptRow:
    try:
        source, references = to_prompt(row)
    except RowError as error:
        raise InputError(f"{place}: {error}.") from error
    if not normalized(source):
        raise InputError(f"{place}: the source is empty; fill it or remove the line.")
    prompt = PromptRow(source, next(iter(references), ""))
    for text in (prompt.text, prompt.reference):
        if len(text) > LONGEST:
            raise InputError(f"{place}: a text has {len(text):,} characters; write {LONGEST:,} at the most.")
    return prompt


@dataclass(frozen=True)
class Row:
    """One prompt that was asked.

    summaries: of its answers, by system. problem: why there is none, in a sentence.
    """

    prompt: PromptRow
    summaries: Mapping[System, AnswerSummary]
    problem: str = ""

    @property
    def disturbed(self) -> tuple[System, ...]:
        """Whose times are not its own."""
        return tuple(system for system, summary in self.summaries.items() if summary.disturbed)


@dataclass(frozen=True)
class Batch:
    """Prompts of one file, asked of the same systems.

    stopped: why, in a sentence, or empty. conditions: what it was measured under, in sentences.
    """

    task: str
    engine_request: EngineRequest
    sampling: Sampling
    prompts: tuple[PromptRow, ...]
    rows: tuple[Row, ...] = ()
    state: State = "running"
    stopped: str = ""
    conditions: tuple[str, ...] = ()

    @property
    def systems(self) -> tuple[System, ...]:
        return self.engine_request.systems

    @property
    def answered(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.summaries)

    @property
    def timed(self) -> tuple[Row, ...]:
        """Those whose times are all the systems' own: in no answer was the process stopped or starved."""
        return tuple(row for row in self.answered if not row.disturbed)

    def next(self) -> PromptRow | None:
        """Give the prompt to ask now; None when all were, or when it was stopped."""
        return self.prompts[len(self.rows)] if self.state == "running" else None

    def with_row(self, row: Row) -> "Batch":
        rows = (*self.rows, row)
        return replace(self, rows=rows, state="done" if len(rows) == len(self.prompts) else "running")

    def at_rest(self, why: str = "") -> "Batch":
        """Stop, as asked or because of what the sentence says; nothing that was answered is lost."""
        return replace(self, state="stopped", stopped=why) if self.state == "running" else self

    def resumed(self) -> "Batch":
        return replace(self, state="running", stopped="") if self.state == "stopped" else self


def medians(batch: Batch) -> Table:
    """Give a row for each system over the prompts that all of them answered."""
    rows: list[list[Cell]] = []
    answered, timed, judged = batch.answered, batch.timed, _judged(batch)
    base = baseline_of(batch.systems)
    task = batch.engine_request.task(batch.task)
    judgements = labels(task) if judged else ()
    for system in batch.systems if answered else ():
        own = [row.summaries[system] for row in timed]
        texts = [row.summaries[system].text for row in judged]
        judged_scores = scores(task, texts, [row.prompt.reference for row in judged])
        rows.append(
            [
                system.label, len(answered), len(timed),
                _ms(median(summary.total_s for summary in own)) if own else None,
                _ms(median(summary.ttft_s for summary in own)) if own else None,
                median(row.summaries[system].tokens for row in answered),
                round(_gain(timed, system, base), 2) if own else None,
                *(round(judged_scores[label].value, 1) for label in judgements),
            ]
        )  # fmt: skip
    columns = {
        "system": "Who answered.",
        "n": "Prompts that all systems answered.",
        "n timed": "Those in which the process was never stopped or starved: of these are all times.",
        "median ms": "Median of the total times.",
        "median TTFT ms": "Median of the times to first token.",
        "median tokens": "Median of the answers' lengths.",
        "median speed-up": f"Median over prompts of the total time of {base.label} divided by this one's.",
    }
    about = f"Over the {len(judged)} prompts with a reference, in points from 0 to 100."
    return Table(columns | dict.fromkeys(judgements, about), rows)


def headline(batch: Batch) -> str:
    """Give the medians in a sentence, of all prompts that were answered."""
    answered, timed = batch.answered, batch.timed
    if not answered:
        return "No prompt was answered."
    left_out = f" of {len(answered)}, as the process was stopped or starved during the others"
    if not timed:
        return f"Medians over n = 0{left_out}: ask again."
    times_s = {s: median(row.summaries[s].total_s for row in timed) for s in batch.systems}
    base = baseline_of(batch.systems)
    gains = {system: _gain(timed, system, base) for system in batch.systems}
    n = f"{len(timed)}{left_out if len(timed) < len(answered) else ''}"
    return f"Medians over n = {n}: {verdict_on(times_s, gains)}"


def table(batch: Batch) -> Table:
    """Give a row for each prompt that was asked."""
    base = baseline_of(batch.systems)
    columns = {"prompt": "Its place in the file.", "source": "As it was asked."}
    if any(prompt.reference for prompt in batch.prompts):
        columns["reference"] = "As the file gives it."
    for system in batch.systems:
        columns[f"{system} ms"] = f"Total time of {system.label}."
        if system != base:
            columns[f"{system} speed-up"] = f"Total time of {base.label} divided by it."
    columns |= {f"{system} answer": f"What {system.label} wrote." for system in batch.systems}
    columns["problem"] = "Why there is no answer, or none in a time of its own."
    return Table(columns, [_cells(n, row, batch, columns) for n, row in enumerate(batch.rows, 1)])


def progress(batch: Batch) -> str:
    """How far it is, in a sentence."""
    done, all_of = len(batch.rows), len(batch.prompts)
    spent = sum(summary.total_s for row in batch.answered for summary in row.summaries.values())
    pace = f", {milliseconds(spent / len(batch.answered))} a prompt in all systems" if batch.answered else ""
    return f"{done} of {all_of} prompts measured{pace}"


def _cells(number: int, row: Row, batch: Batch, columns: Mapping[str, str]) -> list[Cell]:
    cells: dict[str, Cell] = {
        "prompt": number, "source": row.prompt.text, "reference": row.prompt.reference, "problem": row.problem
    }  # fmt: skip
    if row.disturbed:
        names = listed([system.label for system in batch.systems if system in row.disturbed])
        cells["problem"] = f"Not the own times of {names}: the process was stopped or starved meanwhile."
    base = row.summaries.get(baseline_of(batch.systems))
    for system, summary in row.summaries.items():
        cells[f"{system} ms"] = _ms(summary.total_s)
        cells[f"{system} speed-up"] = round(base.total_s / summary.total_s, 2) if base else None
        cells[f"{system} answer"] = summary.text
    return [cells.get(name) for name in columns]


def _gain(rows: Sequence[Row], system: System, base: System) -> float:
    """Give the median of the speed-ups, each of one prompt: not the ratio of the medians."""
    return median(row.summaries[base].total_s / row.summaries[system].total_s for row in rows)


def _judged(batch: Batch) -> tuple[Row, ...]:
    return tuple(row for row in batch.answered if row.prompt.reference.strip())


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
