"""Stored records as rows of a table, one a record: what `hybrid export --records` writes.

results/README.md repeats the columns for those who read the file.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from hybrid.metrics import METRICS
from hybrid.metrics.own import own_scores
from hybrid.schema import PHASES, Environment, Example, Phase, Record, Run, System
from hybrid.store import CONDITIONS, RunReader, conditions
from hybrid.store.tables import Cell

_CONDITIONS = (
    "run_id", "suite", "suite_hash", "task", "pair", "weights_sha256", "engine", "device",
    "device_name", "dtype", "threads", "batch_size", "seed", "max_new_tokens", "ignore_eos", "code",
    "cpu",
)  # fmt: skip
# Name and meaning of every column, in order: an interface, names are only ever added, at the end.
RECORD_COLUMNS: Mapping[str, str] = {name: CONDITIONS[name] for name in _CONDITIONS} | {
    "repeat": "which time the example was answered, from 0",
    "batch": "index of the batch within the repeat",
    "position": "of the batch in the order of measuring, over the whole run",
    "started_at": "when its batch began, ISO 8601, UTC",
    "example_id": "unique in the suite",
    "domain": "the part of the suite",
    "system": "llm, slm, hybrid, lossless ...; with @ENGINE when it is not the run's own",
    "prompt_tokens": "tokens of the prompt, end of sequence included",
    "output_tokens": "tokens of the answer, end of sequence included",
    "finish_reason": "eos, or length when it ended at max_new_tokens",
    "text": "the answer",
    "source": "the example's text",
    "references": "what is known to answer it; several have three vertical bars between them",
    "total_ms": "end-to-end latency; of the whole batch, like all phases",
    "ttft_ms": "time to first token",
    "tpot_ms": "time per output token after the first; empty when there was one",
    "tokenize_ms": "phase: text to token ids",
    "encode_ms": "phase: the encoder, or for the hybrid the LLM, reads the prompt",
    "project_ms": "phase: the LLM's hidden states into the SLM's space; hybrid only",
    "prefill_ms": "phase: up to the first token",
    "decode_ms": "phase: all tokens after the first",
    "detokenize_ms": "phase: token ids to text",
    "bleu": "of this answer alone, by the formula of the corpus score",
    "chrf": "the same",
    "ter": "the same",
    "rougeL": "the same",
    "rouge1": "the same",
    "rouge2": "the same",
    "length": "words over the words of the reference closest in length",
    "draft_ms": "phase: the small model, or a look into the prompt, proposes tokens; lossless only",
    "verify_ms": "phase: the LLM checks them; lossless only",
    "drafted": "tokens that were proposed",
    "accepted": "and how many of them the LLM agreed with",
}
BETWEEN_REFERENCES = " ||| "  # as in Moses' n-best lists

_SCORES = tuple(name for name in RECORD_COLUMNS if name in METRICS)
_LATER_PHASES: tuple[Phase, ...] = ("draft", "verify")  # added after the others had their places
_FIRST_PHASES = tuple(phase for phase in PHASES if phase not in _LATER_PHASES)
_AT_ONCE = 1000  # records whose scores are computed together


def record_rows(reader: RunReader) -> Iterator[tuple[Cell, ...]]:
    """A row of RECORD_COLUMNS for each stored record, read as they are asked for.

    Times are in milliseconds; those of a batch are the same in all its rows.
    Scores are of that answer alone, by the formula of the whole corpus; empty
    for metrics that the run does not have. In a resumed run code, device_name
    and cpu are those under which that record was measured.
    """
    examples = {example.id: example for example in reader.examples}
    parts, records, first = _conditions(reader.run), reader.records(), 0
    while chunk := list(islice(records, _AT_ONCE)):
        for number, (record, scores) in enumerate(zip(chunk, _scores(chunk), strict=True), start=first):
            under = next(cells for start, cells in parts if start <= number)
            cells = _cells(record, examples[record.example_id])
            yield (*under[record.system], *cells, *scores, *_later_cells(record))
        first += len(chunk)


def _conditions(run: Run) -> list[tuple[int, dict[System, tuple[Cell, ...]]]]:
    """The cells of the run's systems, and from which record on they hold; the last ones first."""
    parts = [(0, run.environment), *((one.records_before, one.environment) for one in run.resumptions)]

    def cells(environment: Environment, system: System) -> tuple[Cell, ...]:
        found = conditions(run, environment, system)
        return tuple(found[name] for name in _CONDITIONS)

    return [(start, {one: cells(there, one) for one in run.plan.systems}) for start, there in reversed(parts)]


def _cells(record: Record, example: Example) -> Iterator[Cell]:
    made, timing = record.generation, record.generation.timing
    yield from (record.repeat, record.batch, record.position, record.started_at, example.id, example.domain)
    yield from (made.system, made.prompt_tokens, len(made.token_ids), made.finish_reason, made.text)
    yield from (example.source, BETWEEN_REFERENCES.join(example.references))
    times = (timing.total_s, timing.ttft_s, timing.tpot_s, *map(timing.phases.get, _FIRST_PHASES))
    yield from map(_milliseconds, times)


def _later_cells(record: Record) -> Iterator[Cell]:
    made = record.generation
    yield from (_milliseconds(made.timing.phases.get(phase)) for phase in _LATER_PHASES)
    yield from (made.drafted, made.accepted)


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 4)


def _scores(records: Sequence[Record]) -> Iterable[tuple[Cell, ...]]:
    """For each record, its own score by each of _SCORES; None where it has no such statistics."""
    statistics = [record.statistics for record in records]
    columns = (own_scores(name, statistics).tolist() for name in _SCORES)
    return zip(*([None if math.isnan(one) else one for one in column] for column in columns), strict=True)
