"""What a reader must know before believing a number: one sentence each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import datetime

from hybrid.compare.measured import Measured, shared
from hybrid.schema import Environment, Run
from hybrid.store import StoredRun

# Examples from which 95 % intervals of a quality difference cover between 93 and 97 %: simulated as in
# tests/compare/test_coverage.py they cover 89 % at n = 10, 91.5 % at 30, 94 % at 50 and 95 % at 250.
SMALL = 50
STOPPED = 0.05  # share of answers that ended at max_new_tokens
PAUSE_S = 60.0  # between two answers, after which a run counts as interrupted
CUT = 3  # prompts of exactly the greatest length: rare by chance, the rule when prompts are cut

# What must be equal in two plans before their times are compared.
_PLAN = ("engine", "device", "dtype", "threads", "batch_size")


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
    if run.plan.sampling.ignore_eos:
        yield (
            f"{name} has a fixed length of {run.plan.sampling.max_new_tokens} tokens, the end ignored: "
            "its outputs carry no quality."
        )


def system_warnings(measured: Measured) -> Iterator[str]:
    """What is doubtful about the answers of one system of one run."""
    run, n = measured.run, len(measured.ids)
    name = f"{measured.system} of run {run.run_id}"
    if n < SMALL:
        small = "1 example: it carries no interval" if n == 1 else f"{n} examples: intervals are too narrow"
        yield f"{name} has answered only {small}."
    stopped = sum(record.generation.finish_reason == "length" for record in measured.firsts)
    if stopped > STOPPED * n and not run.plan.sampling.ignore_eos:
        yield (
            f"{name} stopped at {run.plan.sampling.max_new_tokens} tokens in {stopped} of {n} answers: "
            "they are cut off, and their times end there."
        )
    prompts = [record.generation.prompt_tokens for record in measured.firsts]
    cut = prompts.count(max(prompts))
    if run.plan.sampling.truncate and cut >= CUT:
        yield f"{name} read {cut} prompts of exactly {max(prompts)} tokens: they were probably cut."
    differing = sum(
        any(record.generation.text != records[0].generation.text for record in records)
        for records in measured.answers.values()
    )
    if differing:
        yield (
            f"{name} wrote another text in a later repeat of {differing} of {n} examples: "
            "quality is that of the first."
        )


def pair_warnings(system: Measured, baseline: Measured) -> Iterator[str]:
    """What differs between a system and the baseline it is compared with."""
    ours, theirs = system.run, baseline.run
    n = len(shared(system, baseline)[0])
    apart = ours.run_id != theirs.run_id
    names = [f"{'' if apart else f'{m.system} of '}run {m.run.run_id}" for m in (system, baseline)]
    for one, name, other in ((system, names[0], names[1]), (baseline, names[1], names[0])):
        if n < len(one.ids):
            lost = f"{len(one.ids) - n} of {len(one.ids)} examples of {name}"
            yield f"{lost} are not compared: {other} has not answered the same text."
    if not apart:
        return
    between = f"Run {ours.run_id} and its baseline's run {theirs.run_id}"
    if ours.plan.suite_hash != theirs.plan.suite_hash:
        yield f"{between} have suites of different content: {_both(_suite(ours), _suite(theirs))}."
    if ours.plan.pair != theirs.plan.pair:
        yield f"{between} ran different pairs: {_both(ours.plan.pair, theirs.plan.pair)}."
    elif ours.environment.weights_sha256 != theirs.environment.weights_sha256:
        hashes = (run.environment.weights_sha256[:12] for run in (ours, theirs))
        yield f"{between} ran pair {ours.plan.pair} with different weights: {_both(*hashes)}."
    for what, differing in (
        ("were decoded differently", _differing(ours.plan.sampling, theirs.plan.sampling)),
        ("were measured differently", _differing(ours.plan, theirs.plan, _PLAN)),
        ("were made in different environments", _environments(ours.environment, theirs.environment)),
        ("were scored differently", _signatures(ours, theirs)),
    ):
        if differing:
            yield f"{between} {what}: {', '.join(differing)}."


def _environments(ours: Environment, theirs: Environment) -> list[str]:
    # Weights and packages have sentences of their own; the memory of a virtual machine grows with its use.
    others = ("weights_sha256", "packages", "memory_bytes")
    names = [f.name for f in fields(Environment) if f.name not in others]
    return _differing(ours, theirs, names) + _values(ours.packages, theirs.packages)


def _signatures(ours: Run, theirs: Run) -> list[str]:
    """Of the metrics that both have; a fixed-length run has none."""
    both = [name for name in ours.signatures if name in theirs.signatures]
    return _values({n: ours.signatures[n] for n in both}, {n: theirs.signatures[n] for n in both})


def _differing(ours: object, theirs: object, names: Sequence[str] = ()) -> list[str]:
    """`threads (1 and 2)` for each field that differs; all fields when none are named."""
    chosen = names or [f.name for f in fields(ours)]  # type: ignore[arg-type]
    return _values({n: getattr(ours, n) for n in chosen}, {n: getattr(theirs, n) for n in chosen})


def _values(ours: Mapping[str, object], theirs: Mapping[str, object]) -> list[str]:
    keys = dict.fromkeys([*ours, *theirs])
    pairs = [(key, ours.get(key, "none"), theirs.get(key, "none")) for key in keys]
    return [f"{key.replace('_', ' ')} ({_both(a, b)})" for key, a, b in pairs if a != b]


def _both(one: object, other: object) -> str:
    return " and ".join("none" if value in ("", None) else str(value) for value in (one, other))


def _suite(run: Run) -> str:
    return f"{run.plan.suite} ({run.plan.suite_hash[:12]})"


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
