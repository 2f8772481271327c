"""What was asked in one visit: kept in memory only, and not without bounds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hybrid.live.answers import Answers, Request
from hybrid.live.verdicts import baseline_of
from hybrid.schema import System
from hybrid.store.tables import Cell, Table

MOST = 200
MOST_CHARACTERS = 1_000_000  # of all texts together: a few MB of memory for a visitor
COLUMNS = {
    "asked at": "UTC.",
    "task": "What was asked for.",
    "pair": "LLM and SLM.",
    "system": "Who answered: METHOD, or METHOD@ENGINE.",
    "engine": "What ran it, and in which precision.",
    "total_ms": "Time from the question to the whole answer.",
    "ttft_ms": "Time to first token.",
    "tpot_ms": "Time per output token after the first.",
    "tokens": "Of the answer.",
    "disturbed": "Whether the process was stopped or starved meanwhile: not the system's own times.",
    "speed-up": "Total time of the LLM alone, or else of the first system, divided by this one's.",
    "prompt": "As it was asked.",
    "answer": "As it was given.",
    "reference": "As it was given by whoever asked.",
    "max_new_tokens": "The limit of the answer's length.",
}


@dataclass(frozen=True)
class AnswerSummary:
    """What one system answered, without the times of its single tokens. Seconds; see Timing."""

    text: str
    tokens: int
    total_s: float
    ttft_s: float
    tpot_s: float | None
    disturbed: bool = False


@dataclass(frozen=True)
class Entry:
    """One prompt with its answers. asked_at: UTC, ISO 8601. engines: by system, such as "onnx, int8"."""

    asked_at: str
    pair: str
    request: Request
    summaries: Mapping[System, AnswerSummary]
    engines: Mapping[System, str]

    @property
    def characters(self) -> int:
        characters = len(self.request.text) + len(self.request.reference)
        return characters + sum(len(summary.text) for summary in self.summaries.values())


def summarize(answers: Answers) -> dict[System, AnswerSummary]:
    """Tell what is kept of measured answers."""
    return {
        system: AnswerSummary(
            answer.text,
            len(answer.token_ids),
            answer.timing.total_s,
            answer.timing.ttft_s,
            answer.timing.tpot_s,
            answer.timing.disturbed,
        )
        for system, answer in answers.items()
    }


def append(history: tuple[Entry, ...], entry: Entry) -> tuple[Entry, ...]:
    """Give the history with one entry more, newest first; the oldest go when it is too much."""
    entries: list[Entry] = []
    characters = 0
    for past in (entry, *history)[:MOST]:
        characters += past.characters
        if entries and characters > MOST_CHARACTERS:
            break
        entries.append(past)
    return tuple(entries)


def table(history: Iterable[Entry]) -> Table:
    """Give a row for each answer, newest prompt first."""
    return Table(COLUMNS, [row for entry in history for row in _rows(entry)])


def _rows(entry: Entry) -> list[list[Cell]]:
    base = entry.summaries[baseline_of(entry.summaries)]
    request = entry.request
    return [
        [
            entry.asked_at, request.task, entry.pair, system, entry.engines.get(system, ""),
            _ms(summary.total_s), _ms(summary.ttft_s), _ms(summary.tpot_s), summary.tokens,
            summary.disturbed, round(base.total_s / summary.total_s, 3), request.text, summary.text,
            request.reference, request.sampling.max_new_tokens,
        ]
        for system, summary in entry.summaries.items()
    ]  # fmt: skip


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
