"""What a reader must know before believing a number: one sentence each."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from hybrid.compare.measured import Measured
from hybrid.measuring.environment import differing
from hybrid.schema import Run
from hybrid.store import StoredRun

# Examples from which 95 % intervals of a quality difference cover between 93 and 97 %: simulated as in
# tests/compare/test_coverage.py they cover 89 % at n = 10, 91.5 % at 30, 94 % at 50 and 95 % at 250.
SMALL = 50
STOPPED = 0.05  # share of answers that ended at max_new_tokens
PAUSE_S = 60.0  # between two answers, after which a run counts as interrupted


def run_warnings(stored: StoredRun) -> Iterator[str]:
    """What is doubtful about one run whatever it is compared with."""
    run = stored.run
    name = f"Run {run.run_id}"
    for problem in stored.problems:
        yield f"{name}: {problem}"
    if run.finished_at is None:
        yield f"{name} is incomplete: {len(stored.records):,} of {run.planned:,} answers."
    pauses = _pauses(stored)
    if pauses:
        often = "once" if len(pauses) == 1 else f"{len(pauses)} times"
        yield (
            f"{name} was interrupted {often}, for up to {_duration(max(pauses))}, and resumed: "
            "conditions may have changed in between."
        )
    yield from _resumptions(run)
    if run.plan.sampling.ignore_eos:
        yield (
            f"{name} has a fixed length of {run.plan.sampling.max_new_tokens} tokens, the end ignored: "
            "its outputs carry no quality."
        )


def systems_warnings(systems: Iterable[Measured]) -> Iterator[str]:
    """What is doubtful about the answers of systems of one run: a sentence for all that it is true of."""
    said: dict[str, list[Measured]] = {}
    for measured in systems:
        for what in _doubts(measured):
            said.setdefault(what, []).append(measured)
    for what, those in said.items():
        yield f"{joined([one.system for one in those])} of run {those[0].run.run_id} {what}."


def _doubts(measured: Measured) -> Iterator[str]:
    """In the past tense, which is the same for one and for many."""
    run, n = measured.run, len(measured.ids)
    if n == 1:
        yield "answered only 1 example: it carries no interval"
    elif n < SMALL:
        yield f"answered only {n} examples: intervals are too narrow"
    stopped = sum(record.generation.finish_reason == "length" for record in measured.firsts)
    if stopped > STOPPED * n and not run.plan.sampling.ignore_eos:
        yield (
            f"stopped at {run.plan.sampling.max_new_tokens} tokens in {stopped} of {n} answers: "
            "they are cut off, and their times end there"
        )
    limit = run.max_prompt_tokens
    longest = sum(record.generation.prompt_tokens == limit for record in measured.firsts)
    if run.plan.sampling.truncate and longest:
        yield f"read {longest} of {n} prompts as long as the pair reads, {limit} tokens: longer ones were cut"
    unlike = sum(
        any(record.generation.text != records[0].generation.text for record in records)
        for records in measured.answers.values()
    )
    if unlike:
        many = f"{unlike} of {n} examples"
        yield f"wrote another text in a later repeat of {many}: quality is that of the first"


def joined(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def listed(values: Mapping[str, tuple[object, object]]) -> str:
    """`threads (1 and 2)` for each whose two values differ."""
    return ", ".join(f"{name.replace('_', ' ')} ({both(a, b)})" for name, (a, b) in values.items() if a != b)


def both(one: object, other: object) -> str:
    return " and ".join("none" if value in ("", None) else str(value) for value in (one, other))


def _resumptions(run: Run) -> Iterator[str]:
    before = run.environment
    for one in run.resumptions:
        if changes := listed(differing(before, one.environment)):
            after = f"after {one.records_before:,} answers"
            yield f"Run {run.run_id} went on in another environment {after}: {changes}."
        before = one.environment


def _pauses(stored: StoredRun) -> list[float]:
    """Seconds in which nothing was measured; a clock that was set back hides one, and is no error."""
    starts: dict[int, tuple[str, float]] = {}
    for record in stored.records:
        starts.setdefault(record.position, (record.started_at, record.generation.timing.total_s))
    found: list[float] = []
    end: float | None = None
    for _, (started_at, total_s) in sorted(starts.items()):
        try:
            start = datetime.fromisoformat(started_at).timestamp()
        except ValueError:
            continue
        if end is not None and start - end > PAUSE_S:
            found.append(start - end)
        end = start + total_s
    return found


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
