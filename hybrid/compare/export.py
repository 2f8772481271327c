"""Stored runs as rows of CSV, one a system or one a record: what `hybrid export` writes.

Behind the columns that are always there come those of metrics that a run was scored by later.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from hybrid.compare.bootstrap import Resamples
from hybrid.compare.columns import (
    ACCEPTANCE,
    AGREEMENT,
    ANSWERS,
    BEFORE_MODEL,
    BLOCKS,
    BOUND,
    BOUND_SHARE,
    BUSY,
    BUSY_WHY,
    DEVICE_MEMORY,
    DISTURBED,
    FLOPS_PER_S,
    GATE,
    LATENCY_COLUMNS,
    LENGTH_RATIO,
    MEMORY,
    SPEEDUP_COLUMNS,
    SPREADS,
    STOPPED,
    SYSTEM,
    THROUGHPUT,
    TOKENS,
    Column,
    N,
    difference,
    quality,
)
from hybrid.compare.paired import PairedComparison, paired_comparison
from hybrid.compare.results import SystemResults, results_by_system
from hybrid.compare.summary import Summary, summarize
from hybrid.metrics import METRICS, Metric
from hybrid.schema import BASELINE, PHASES, Environment, Example, Phase, Record, Run, System
from hybrid.store import RunReader, StoredRun
from hybrid.store.tables import Cell

# The conditions of a run, names and meanings in order: an interface, names are only ever added.
CONDITIONS: Mapping[str, str] = {
    "run_id": "the run",
    "created_at": "when it began, ISO 8601, UTC",
    "finished_at": "when it was finished; empty when it is incomplete",
    "suite": "what was answered",
    "suite_hash": "SHA-256 of the suite's task and texts; of a private run a keyed digest of it",
    "licence": "of the suite's texts",
    "task": "what was asked",
    "pair": "the pair of models",
    "weights_sha256": "of the pair's manifest, which holds the hash of every file",
    "engine": "what ran the models",
    "device": "where they ran",
    "device_name": "the device's own name",
    "dtype": "precision",
    "threads": "of the CPU",
    "batch_size": "prompts answered at once",
    "repeats": "how often each example was to be answered",
    "limit": "examples asked for; empty for all",
    "seed": "of the order of the examples",
    "max_new_tokens": "upper bound on generated tokens",
    "ignore_eos": "true for fixed-length runs, which carry no quality",
    "truncate": "whether prompts that are too long were cut",
    "product": "version of hybrid-bench",
    "code": "commit, with +changes when files differed from it",
    "python": "version",
    "operating_system": "name and version",
    "cpu": "model",
    "cpu_count": "logical CPUs",
    "memory_bytes": "of the machine",
    "packages": "versions of what the numbers depend on",
    "engine_options": "settings of the engine",
    "memory_bandwidth": "bytes per second that the device reads from its memory; empty when not measured",
    "decode_bytes": "weight bytes that each decoded token reads once for a batch; empty when not known",
    "encode_flops": "floating point operations for each token of the prompt; empty when not known",
    "attention_flops": "and for each pair of them",
}
# The columns of a row for each system, in order, around those of the metrics.
_COUNTS = (SYSTEM, N, ANSWERS, TOKENS, STOPPED)
_TIMES = (*LATENCY_COLUMNS.values(), *SPEEDUP_COLUMNS.values())
_OUTPUT = (*THROUGHPUT, MEMORY, BEFORE_MODEL, DEVICE_MEMORY, LENGTH_RATIO, AGREEMENT)
_INTERVALS = {
    "interval_resamples": "bootstrap resamples behind every _low and _high (95 %, percentile)",
    "interval_seed": "of those resamples",
}
_DEVICE = (ACCEPTANCE, BOUND, BOUND_SHARE, FLOPS_PER_S)
_RELIABILITY = (BLOCKS, *chain(*SPREADS.values()), DISTURBED, BUSY, BUSY_WHY)


def _quality_names(metrics: Iterable[Metric]) -> Iterator[tuple[str, str]]:
    for metric in metrics:
        yield from quality(metric).names().items()
        yield f"{metric.name}_signature", "how it was computed"
        if metric.higher_is_better is not None:
            yield from difference(metric).names().items()


def _names(columns: Iterable[Column]) -> dict[str, str]:
    return {name: meaning for column in columns for name, meaning in column.names().items()}


# Name and meaning of every column that is always there, in order: an interface, names are only ever added.
COLUMNS: Mapping[str, str] = (
    dict(CONDITIONS)
    | _names(_COUNTS)
    | dict(_quality_names(metric for metric in METRICS.values() if metric.default))
    | _names(_TIMES)
    | _names(_OUTPUT)
    | _INTERVALS
    | _names((*_DEVICE, *GATE, *_RELIABILITY))
)


def summary_columns(metrics: Iterable[str] = ()) -> Mapping[str, str]:
    """Name the columns of CSV with their meanings: COLUMNS, and behind them those of other `metrics`."""
    return dict(COLUMNS) | dict(_quality_names(METRICS[name] for name in extra_metrics(metrics)))


def extra_metrics(names: Iterable[str]) -> list[str]:
    """Keep of these metrics, in their order, those whose columns are not always there."""
    present = set(names)
    return [name for name, metric in METRICS.items() if name in present and not metric.default]


@dataclass(frozen=True)
class _Compared:
    summary: Summary
    against: PairedComparison | None


def summaries(stored: StoredRun, resamples: int = 1000, seed: int = 0) -> list[dict[str, Cell]]:
    """Make a row for each system that has answered something, with the columns of what it was scored by.

    Comparisons are with the run's own LLM: None for itself, and where there is none.
    """
    draws = Resamples(resamples, seed)
    systems = results_by_system(stored)
    llm = systems.get(BASELINE)
    names = summary_columns(stored.run.signatures)
    return [_row(results, llm, draws, names) for results in systems.values()]


def _row(
    results: SystemResults, llm: SystemResults | None, draws: Resamples, names: Iterable[str]
) -> dict[str, Cell]:
    comparable = llm is not None and results is not llm and not set(results.ids).isdisjoint(llm.ids)
    against = paired_comparison(results, llm, draws) if llm and comparable else None
    system, run = _Compared(summarize(results, draws), against), results.run
    cells: dict[str, Cell] = {**_conditions(run, run.environment, results.system)}
    for name in system.summary.quality or {}:
        cells |= quality(METRICS[name]).cells(system) | {f"{name}_signature": run.signatures.get(name)}
        cells |= difference(METRICS[name]).cells(system)
    for column in (*_COUNTS, *_TIMES, *_OUTPUT, *_DEVICE, *GATE, *_RELIABILITY):
        cells |= column.cells(system)
    cells |= {"interval_resamples": draws.resamples, "interval_seed": draws.seed}
    return {name: cells.get(name) for name in names}


_CONDITIONS = (
    "run_id", "suite", "suite_hash", "task", "pair", "weights_sha256", "engine", "device",
    "device_name", "dtype", "threads", "batch_size", "seed", "max_new_tokens", "ignore_eos", "code",
    "cpu",
)  # fmt: skip
# Name and meaning of every column that is always there, in order: an interface, names are only ever added.
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
    **{name: f"{metric.label} of this answer alone" for name, metric in METRICS.items() if metric.default},
    "draft_ms": "phase: the small model, or a look into the prompt, proposes tokens; lossless only",
    "verify_ms": "phase: the LLM checks them; lossless only",
    "drafted": "tokens that were proposed",
    "accepted": "and how many of them the LLM agreed with",
    "block": "of the process that measured it, from 0",
    "disturbed": "whether the process was stopped or starved meanwhile: not the system's own times",
}
BETWEEN_REFERENCES = " ||| "  # as in Moses' n-best lists

_SCORES = tuple(name for name, metric in METRICS.items() if metric.default)
_LATER_PHASES: tuple[Phase, ...] = ("draft", "verify")  # added after the others had their places
_FIRST_PHASES = tuple(phase for phase in PHASES if phase not in _LATER_PHASES)
_AT_ONCE = 1000  # records whose scores are computed together


def record_columns(metrics: Iterable[str] = ()) -> Mapping[str, str]:
    """Name the columns with their meanings: RECORD_COLUMNS, and behind them those of other `metrics`."""
    others = {name: f"{METRICS[name].label} of this answer alone" for name in extra_metrics(metrics)}
    return dict(RECORD_COLUMNS) | others


def record_rows(reader: RunReader, metrics: Iterable[str] = ()) -> Iterator[tuple[Cell, ...]]:
    """Make a row of record_columns(metrics) for each stored record, read as they are asked for.

    Times are in milliseconds; those of a batch are the same in all its rows.
    Scores are of that answer alone, by the formula of the whole corpus; empty
    for metrics that the run does not have. In a resumed run code, device_name
    and cpu are those under which that record was measured.
    """
    examples = {example.id: example for example in reader.examples}
    parts, records, first = _record_conditions(reader.run), reader.records(), 0
    others = extra_metrics(metrics)
    while chunk := list(islice(records, _AT_ONCE)):
        rows = zip(chunk, _scores(chunk, _SCORES), _scores(chunk, others), strict=True)
        for number, (record, scores, other_scores) in enumerate(rows, start=first):
            under = next(cells for start, cells in parts if start <= number)
            cells = _cells(record, examples[record.example_id])
            yield (*under[record.system], *cells, *scores, *_later_cells(record), *other_scores)
        first += len(chunk)


def _conditions(run: Run, environment: Environment, system: System) -> dict[str, Cell]:
    """Give a cell for each of CONDITIONS. environment: the run's, or that of records after a resumption."""
    parts = (run, run.plan, run.plan.sampling, environment)
    cells = {name: getattr(part, name) for name in CONDITIONS for part in parts if hasattr(part, name)}
    packages = "; ".join(f"{name} {version}" for name, version in environment.packages.items())
    ran = run.ran_as(system)
    return cells | {
        "operating_system": environment.system,
        "packages": packages,
        "engine": ran.engine,
        "device": ran.device,
        "dtype": ran.dtype,
        "engine_options": "; ".join(f"{name}={value}" for name, value in ran.options.items()),
        "decode_bytes": ran.decode_bytes or None,
        "encode_flops": ran.encode_flops or None,
        "attention_flops": ran.attention_flops or None,
    }


def _record_conditions(run: Run) -> list[tuple[int, dict[System, tuple[Cell, ...]]]]:
    """Give the cells of the run's systems, and from which record on they hold; the last ones first."""
    parts = [(0, run.environment), *((r.records_before, r.environment) for r in run.resumptions)]

    def cells(environment: Environment, system: System) -> tuple[Cell, ...]:
        values = _conditions(run, environment, system)
        return tuple(values[name] for name in _CONDITIONS)

    return [
        (start, {system: cells(environment, system) for system in run.plan.systems})
        for start, environment in reversed(parts)
    ]


def _cells(record: Record, example: Example) -> Iterator[Cell]:
    generation, timing = record.generation, record.generation.timing
    yield from (record.repeat, record.batch, record.position, record.started_at, example.id, example.domain)
    yield from (generation.system, generation.prompt_tokens, generation.output_tokens)
    yield from (generation.finish_reason, generation.text)
    yield from (example.source, BETWEEN_REFERENCES.join(example.references))
    times = (timing.total_s, timing.ttft_s, timing.tpot_s, *map(timing.phases.get, _FIRST_PHASES))
    yield from map(_milliseconds, times)


def _later_cells(record: Record) -> Iterator[Cell]:
    generation = record.generation
    yield from (_milliseconds(generation.timing.phases.get(phase)) for phase in _LATER_PHASES)
    yield from (generation.drafted, generation.accepted, record.block, generation.timing.disturbed)


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 4)


def _scores(records: Sequence[Record], metrics: Sequence[str]) -> Sequence[tuple[Cell, ...]]:
    """For each record, its own score by each of `metrics`; None where it has no such statistics."""
    columns = [
        METRICS[name].of_each([record.statistics.get(name, ()) for record in records]).tolist()
        for name in metrics
    ]
    return [
        tuple(None if math.isnan(column[place]) else column[place] for column in columns)
        for place in range(len(records))
    ]
