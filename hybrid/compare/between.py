"""What differs between runs, or between a system and its baseline: one sentence for each kind."""

from collections.abc import Iterator, Sequence

from hybrid.compare.comparison import Against
from hybrid.compare.conditions import both, joined, listed
from hybrid.compare.measured import Measured, shared, timed_alike
from hybrid.compare.summary import carries
from hybrid.measuring.environment import differing
from hybrid.schema import Run

# What must be equal in two plans before their times are compared.
_PLAN = ("engine", "device", "dtype", "threads", "batch_size")
_SAMPLING = ("max_new_tokens", "ignore_eos", "truncate")

PLURALS = {"example": "examples", "batch": "batches"}  # of what speed-ups are paired by
FEW = next(n for n in range(1, 100) if carries(n, 50))  # pairs that the interval of a median needs

Differences = Iterator[tuple[str, str]]  # what was done to a run, in which it differs, and both values


def between_runs(runs: Sequence[Run]) -> Iterator[str]:
    """What must be known before numbers of different runs are read side by side.

    Each run is set against the first one; in what belongs to the task, against
    the first one of its task. Runs in which the same differs share a sentence.
    """
    said: dict[tuple[str, str, str], list[str]] = {}
    first_of: dict[str, Run] = {}
    for run in runs:
        same_task = first_of.setdefault(run.plan.task, run)
        for other, found in ((same_task, _in_task(run, same_task)), (runs[0], _in_conditions(run, runs[0]))):
            for what, values in found:
                said.setdefault((other.run_id, what, values), []).append(run.run_id)
    for (other_id, what, values), ids in said.items():
        those = f"Run {ids[0]} was" if len(ids) == 1 else f"Runs {joined(ids)} were"
        yield f"{those} {what} run {other_id}: {values}."


def pair_warnings(system: Measured, baseline: Measured, found: Against) -> Iterator[str]:
    """Which examples and times of a system and its baseline fall out of the comparison."""
    apart = system.run.run_id != baseline.run.run_id
    ours, theirs = (f"{'' if apart else f'{m.system} of '}run {m.run.run_id}" for m in (system, baseline))
    n = len(shared(system, baseline)[0])
    for one, name, other in ((system, ours, theirs), (baseline, theirs, ours)):
        if n < len(one.ids):
            lost = f"{len(one.ids) - n} of {len(one.ids)} examples of {name}"
            yield f"{lost} are not compared: {other} has not answered the same text."
    if untimed := n - len(timed_alike(system, baseline)[0]):
        yield (
            f"{untimed} of {n} examples are left out of the speed-up of {ours} over {theirs}: "
            "they were answered in batches with others than there."
        )
    pairs = min((speedup.n for speedup in found.speedups.values() if speedup), default=FEW)
    if pairs < FEW <= n:
        few = f"1 {found.paired_by}: it carries no interval"
        if pairs > 1:
            few = f"{pairs} {PLURALS[found.paired_by]}: its interval is too narrow"
        yield f"A speed-up of {ours} over {theirs} rests on only {few}."


def _in_task(ours: Run, theirs: Run) -> Differences:
    """In texts and scores. Suites of two tasks have other metrics and numbers of references in any case."""
    if ours.plan.suite_hash != theirs.plan.suite_hash:
        yield "given a suite of other content than", both(_suite(ours), _suite(theirs))
    elif part := _part(ours, theirs):
        yield "given another part of the suite than", part
    if signatures := _signatures(ours, theirs):
        yield "scored differently from", signatures


def _in_conditions(ours: Run, theirs: Run) -> Differences:
    """In models, decoding, plan and environment."""
    if ours.plan.pair != theirs.plan.pair:
        yield "made with another pair than", both(ours.plan.pair, theirs.plan.pair)
    environment = differing(ours.environment, theirs.environment)
    if (weights := environment.pop("weights sha256", None)) and ours.plan.pair == theirs.plan.pair:
        yield f"made with other weights of pair {ours.plan.pair} than", both(*weights)
    if sampling := _fields(ours.plan.sampling, theirs.plan.sampling, _SAMPLING):
        yield "decoded differently from", sampling
    if plan := _fields(ours.plan, theirs.plan, _PLAN):
        yield "measured differently from", plan
    if found := listed(environment):
        yield "made in another environment than", found


def _part(ours: Run, theirs: Run) -> str:
    """The seed decides which examples a limit leaves; without one it is only their order."""
    limited = ours.plan.limit or theirs.plan.limit
    return _fields(ours.plan, theirs.plan, ("limit", "seed")) if limited else ""


def _signatures(ours: Run, theirs: Run) -> str:
    """Of the metrics that both have; a fixed-length run has none."""
    both = [name for name in ours.signatures if name in theirs.signatures]
    return listed({name: (ours.signatures[name], theirs.signatures[name]) for name in both})


def _fields(ours: object, theirs: object, names: Sequence[str]) -> str:
    return listed({name: (getattr(ours, name), getattr(theirs, name)) for name in names})


def _suite(run: Run) -> str:
    return f"{run.plan.suite} ({run.plan.suite_hash[:12]})"
