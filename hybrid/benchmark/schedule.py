"""A benchmark as a stream of records: all systems answer the same prompts in turn, timed from outside.

    for block, for repeat, for batch of examples, for system:  answer (timed) -> yield the records

Systems take turns at every batch, so that a machine that slows down meets all of
them, though not all alike: one that waits for memory loses more than one that
computes. Another system begins each time: ABC BCA CAB. Quality and latency come
from the same outputs, and nothing but the engine runs inside a measurement.

What a process draws at its start (addresses, pages, cores) shifts all its times
together, and resampling examples cannot see that. So batch i of repeat r is
measured in block (i + r) % blocks, each block in a process of its own: as much
work as in one, and with more repeats an example visits more blocks (Kalibera and
Jones 2013, "Rigorous Benchmarking in Reasonable Time").
"""

import random
import statistics
import time
from bisect import insort
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from hybrid.engines.contract import LoadedSystem
from hybrid.measuring import settled_heap
from hybrid.measuring.answers import answer_unmeasured, measure_answers, warm_up
from hybrid.schema import BASELINE, Example, Generation, Plan, Progress, Record, Speedup, Suite, System
from hybrid.store import Key


@dataclass(frozen=True)
class WorkItem:
    """One batch of examples for one system. batch: index within the repeat. position: within the plan."""

    system: System
    repeat: int
    batch: int
    position: int
    examples: tuple[Example, ...]
    block: int = 0

    def key(self, example: Example) -> Key:
        """Return what a run holds only once."""
        return example.id, self.repeat, self.system


def select_examples(plan: Plan, suite: Suite) -> tuple[Example, ...]:
    """Select the plan's examples in its order: shuffled by its seed, then the first `limit`."""
    examples = list(suite.examples)
    random.Random(plan.seed).shuffle(examples)
    return tuple(examples[: plan.limit])


def schedule(plan: Plan, examples: tuple[Example, ...]) -> Iterator[WorkItem]:
    """Every item of a plan, in the order of measuring."""
    systems, batches = plan.systems, _batches(plan, examples)
    position = 0
    for block in range(plan.blocks):
        for repeat in range(plan.repeats):
            for index in range((block - repeat) % plan.blocks, len(batches), plan.blocks):
                first = (repeat + index // plan.blocks) % len(systems)
                for system in systems[first:] + systems[:first]:
                    yield WorkItem(system, repeat, index, position, batches[index], block)
                    position += 1


def missing_items(
    plan: Plan, examples: tuple[Example, ...], done: Collection[Key] = frozenset()
) -> list[WorkItem]:
    """List the items that are not wholly in `done`, in the order of measuring."""
    return [item for item in schedule(plan, examples) if any(item.key(e) not in done for e in item.examples)]


def measure_records(
    plan: Plan,
    examples: tuple[Example, ...],
    loaded: Mapping[System, LoadedSystem],
    done: Collection[Key] = frozenset(),
    clock: Callable[[], float] = time.perf_counter,
    block: int | None = None,
) -> Generator[tuple[Record, ...], None, None]:
    """Measure the records of each item, after a warm-up that is dropped.

    examples: in the order of measuring, as select_examples() gives them or a run stores them.
    loaded: each of the plan's systems, ready on the plan's device.
    done: keys of records that are stored already; items that only have these
    are left out, and an item that lost a part of its records is measured anew
    and yields that part. block: only its items; those of all when None. Errors of
    engine and clock pass through.
    """
    missing = [item for item in missing_items(plan, examples, done) if block in (None, item.block)]
    if not missing:
        return
    _warm_up(plan, examples, loaded, {item.batch for item in missing})
    with settled_heap():
        for item in missing:
            started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
            texts = [example.source for example in item.examples]
            answers = measure_answers(loaded[item.system], plan.task, texts, plan.sampling, clock)
            yield tuple(
                _record(item, started_at, example, answer)
                for example, answer in zip(item.examples, answers, strict=True)
                if item.key(example) not in done
            )


def _batches(plan: Plan, examples: tuple[Example, ...]) -> list[tuple[Example, ...]]:
    """Group the examples that are answered together, in order; the last ones may be fewer."""
    size = plan.batch_size
    return [examples[start : start + size] for start in range(0, len(examples), size)]


def _warm_up(
    plan: Plan, examples: tuple[Example, ...], loaded: Mapping[System, LoadedSystem], batches: Collection[int]
) -> None:
    """Each engine answers the longest batch and the first one, with as many tokens as it may be asked for.

    Whatever a measured answer needs, memory for its keys and values above all, is
    there after that. On a GPU, kernels are chosen and loaded for every new shape,
    40 ms for each new length of prompt on an H200: there each of `batches` is answered once.
    """
    size = plan.batch_size
    longest = sorted(examples, key=lambda example: len(example.source))[-size:]
    for batch in (longest, examples[:size]):
        texts = [example.source for example in batch]
        for system in plan.systems:
            warm_up(loaded[system], plan.task, texts, plan.sampling.max_new_tokens)
    if plan.device.kind == "cpu":
        return
    # A single answer's shapes are all there with its second token; a batch shrinks as its rows end.
    two = replace(plan.sampling, max_new_tokens=min(2, plan.sampling.max_new_tokens))
    sampling = plan.sampling if size > 1 else two
    for index, batch in enumerate(_batches(plan, examples)):
        texts = [example.source for example in batch]
        for system in plan.systems if index in batches else ():
            answer_unmeasured(loaded[system], plan.task, texts, sampling)


def _record(item: WorkItem, started_at: str, example: Example, answer: Generation) -> Record:
    return Record(
        example_id=example.id,
        repeat=item.repeat,
        batch=item.batch,
        position=item.position,
        started_at=started_at,
        generation=answer,
        statistics={},
        block=item.block,
    )


class RunProgress:
    """Counts the records of a run as they come.

    stored: records that a resumed run has already; they count, but say nothing of its pace.
    """

    def __init__(self, plan: Plan, planned: int, stored: Iterable[Record] = ()) -> None:
        self.planned = planned
        self.done = 0
        self._systems = [system for system in plan.systems if system != BASELINE]
        self._totals_s: dict[tuple[int, int, System], float] = {}  # of batches, by repeat, batch, system
        self._ratios: dict[System, list[float]] = {system: [] for system in self._systems}  # sorted
        for record in stored:
            self.count([record])
        self._first: tuple[float, int] | None = None  # when the first item ended, and what was done then
        self._last_s = 0.0

    def add(self, records: Sequence[Record], at_s: float | None = None) -> None:
        """Count the records of an item that was measured. at_s: when it ended; now, when None."""
        self.count(records)
        self._last_s = time.monotonic() if at_s is None else at_s
        if self._first is None:
            self._first = self._last_s, self.done

    def count(self, records: Sequence[Record]) -> None:
        """Count records of an item that say nothing of the pace."""
        self.done += len(records)
        for record in records[:1]:  # the rows of a batch share its time
            batch = record.repeat, record.batch
            if (*batch, record.system) in self._totals_s:
                continue
            if record.generation.timing.disturbed:
                continue
            self._totals_s[*batch, record.system] = record.generation.timing.total_s
            # A pair is complete with the later of its two items.
            for system in self._systems if record.system == BASELINE else [record.system]:
                own, base = self._totals_s.get((*batch, system)), self._totals_s.get((*batch, BASELINE))
                if own and base:
                    insort(self._ratios[system], base / own)

    @property
    def speedups(self) -> dict[str, Speedup]:
        """Median paired end-to-end ratio to the LLM, by system; without a pair none."""
        return {
            system: Speedup(statistics.median(ratios), len(ratios))
            for system, ratios in self._ratios.items()
            if ratios
        }

    @property
    def eta_s(self) -> float | None:
        """Seconds left at the pace since the first item; None before there is one, and at the end."""
        if self._first is None or self.done in (self._first[1], self.planned):
            return None
        first_s, first = self._first
        return (self._last_s - first_s) / (self.done - first) * (self.planned - self.done)

    @property
    def event(self) -> Progress:
        """All of it, for an observer."""
        return Progress(done=self.done, planned=self.planned, eta_s=self.eta_s, speedups=self.speedups)
