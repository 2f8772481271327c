"""What a reader must know before believing a number: one sentence each.

Three kinds: what is doubtful about a run or a system on its own, how two runs
differ, and what falls out of the comparison of a system with its baseline.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from hybrid.compare.bootstrap import FEWEST
from hybrid.compare.paired import PLURALS, PairedComparison
from hybrid.compare.results import SystemResults, shared, timed_alike
from hybrid.format import counted, duration, listed
from hybrid.measuring.environment import differing
from hybrid.measuring.hardware import unlike
from hybrid.measuring.probes import busy_clause, busy_reasons
from hybrid.metrics import METRICS, Metric, default_metrics
from hybrid.schema import METHODS, Run
from hybrid.store import StoredRun

# Examples from which 95 % intervals of a quality difference cover between 93 and 97 %: simulated as in
# tests/compare/test_coverage.py they cover 89 % at n = 10, 91.5 % at 30, 94 % at 50 and 95 % at 250.
SMALL = 50
STOPPED = 0.05  # share of answers that ended at max_new_tokens
CHANGED = "+changes"  # the end of a version of the code with what was not committed
_ASCII_WORD = re.compile(r"[A-Za-z0-9]")
PAUSE_S = 60.0  # between two answers, after which a run counts as interrupted

# What must be equal in two plans before their times are compared.
_PLAN = ("engine", "device", "dtype", "threads", "batch_size")
_SAMPLING = ("max_new_tokens", "ignore_eos", "truncate")

Differences = Iterator[tuple[str, str]]  # what was done to a run, in which it differs, and both values


def run_warnings(stored: StoredRun) -> Iterator[str]:
    """Say what is doubtful about one run whatever it is compared with."""
    run = stored.run
    name = f"Run {run.run_id}"
    if reasons := busy_reasons(run):
        yield (f"{name} was {busy_clause(reasons)}")
    for problem in stored.problems:
        yield f"{name}: {problem}"
    if run.finished_at is None:
        yield f"{name} is incomplete: {len(stored.records):,} of {run.planned:,} answers."
    pauses = _pauses(stored)
    if pauses:
        often = "once" if len(pauses) == 1 else f"{len(pauses)} times"
        yield (
            f"{name} was interrupted {often}, for up to {duration(max(pauses))}, and resumed: "
            "conditions may have changed in between."
        )
    yield from _resumptions(run)
    if run.plan.sampling.ignore_eos:
        yield (
            f"{name} has a fixed length of {run.plan.sampling.max_new_tokens} tokens, the end ignored: "
            "its outputs carry no quality."
        )
    elif lacking := _not_scored(stored):
        labels = ", ".join(metric.label for metric in lacking)
        but = "".join(f"; {metric.unscored}" for metric in lacking if metric.unscored)
        fix = "it holds no texts" if run.plan.private else f"`hybrid score {run.run_id}` does it"
        yield f"{name} has answers that are not scored by {labels}: {fix}{but}."
    if run.two_tokenizers and len({METHODS[s.method].writer for s in run.plan.systems}) > 1:
        yield (
            f"{name} has systems that write with different tokenizers, so that their tokens are not of one "
            "size: compare characters/s and end-to-end times, not tokens/s and times per token."
        )
    yield from _uncommitted(run)
    if letters := _letters_dropped(stored):
        yield f"{name} {letters}"


def systems_warnings(systems: Iterable[SystemResults]) -> Iterator[str]:
    """Say what is doubtful about systems of one run: a sentence for all that it is true of."""
    systems_of: dict[str, list[SystemResults]] = {}
    for results in systems:
        for doubt in _doubts(results):
            systems_of.setdefault(doubt, []).append(results)
    for doubt, doubtful in systems_of.items():
        names = listed([results.system for results in doubtful])
        yield f"{names} of run {doubtful[0].run.run_id} {doubt}."


def run_differences(runs: Sequence[Run]) -> Iterator[str]:
    """Say what must be known before numbers of different runs are read side by side.

    Each run is set against the first one; in what belongs to the task, against
    the first one of its task; in the machine, against the first one that says which it was made on. Runs
    in which the same differs share a sentence.
    """
    ids_of: dict[tuple[str, str, str], list[str]] = {}
    first_of: dict[str, Run] = {}
    known = next((run for run in runs if run.environment.hardware.known), None)
    for run in runs:
        same_task = first_of.setdefault(run.plan.task, run)
        for other, differences in (
            (same_task, _in_task(run, same_task)),
            (runs[0], _in_conditions(run, runs[0])),
            (known or run, _in_machine(run, known or run)),
        ):
            for what, values in differences:
                ids_of.setdefault((other.run_id, what, values), []).append(run.run_id)
    for (other_id, what, values), ids in ids_of.items():
        those = f"Run {ids[0]} was" if len(ids) == 1 else f"Runs {listed(ids)} were"
        yield f"{those} {what} run {other_id}: {values}."


def pair_warnings(
    system: SystemResults, baseline: SystemResults, comparison: PairedComparison
) -> Iterator[str]:
    """Say which examples and times of a system and its baseline fall out of the comparison."""
    apart = system.run.run_id != baseline.run.run_id
    system_name, baseline_name = (
        f"{'' if apart else f'{results.system} of '}run {results.run.run_id}"
        for results in (system, baseline)
    )
    n = len(shared(system, baseline)[0])
    for results, name, other in (
        (system, system_name, baseline_name),
        (baseline, baseline_name, system_name),
    ):
        if n < len(results.ids):
            lost = f"{len(results.ids) - n} of {len(results.ids)} examples of {name}"
            yield f"{lost} are not compared: {other} has not answered the same text."
    if untimed := n - len(timed_alike(system, baseline)[0]):
        yield (
            f"{untimed} of {n} examples are left out of the speed-up of {system_name} over {baseline_name}: "
            "they were answered in batches with others than there."
        )
    pairs = min((speedup.n for speedup in comparison.speedups.values() if speedup), default=FEWEST)
    if pairs < FEWEST <= n:
        few = f"1 {comparison.paired_by}" if pairs == 1 else f"{pairs} {PLURALS[comparison.paired_by]}"
        yield f"A speed-up of {system_name} over {baseline_name} rests on only {few}: it carries no interval."


def _doubts(results: SystemResults) -> Iterator[str]:
    """In the past tense, which is the same for one and for many."""
    run, n = results.run, len(results.ids)
    if n < FEWEST:
        yield f"answered only {counted(n, 'example')}: it takes {FEWEST} to carry an interval"
    elif n < SMALL:
        yield f"answered only {n} examples: intervals are too narrow"
    stopped = sum(record.generation.finish_reason == "length" for record in results.firsts)
    if stopped > STOPPED * n and not run.plan.sampling.ignore_eos:
        yield (
            f"stopped at {run.plan.sampling.max_new_tokens} tokens in {stopped} of {n} answers: "
            "they are cut off, and their times end there"
        )
    if disturbed := int(results.disturbed.sum()):
        yield (
            f"stood still in {disturbed} of {counted(len(results.records), 'answer')}, as the process was "
            "stopped or starved: these are left out of all times"
        )
    limit = run.max_prompt_tokens
    longest = sum(record.generation.prompt_tokens == limit for record in results.firsts)
    if run.plan.sampling.truncate and longest:
        yield f"read {longest} of {n} prompts as long as the pair reads, {limit} tokens: longer ones were cut"
    unlike = sum(
        any(record.generation.identity != records[0].generation.identity for record in records)
        for records in results.answers.values()
    )
    if unlike:
        many = f"{unlike} of {n} examples"
        yield f"wrote another text in a later repeat of {many}: quality is that of the first"


def _resumptions(run: Run) -> Iterator[str]:
    before = run.environment
    for resumption in run.resumptions:
        if changes := _listed(differing(before, resumption.environment)):
            after = f"after {resumption.records_before:,} answers"
            yield f"Run {run.run_id} went on in another environment {after}: {changes}."
        before = resumption.environment


def _not_scored(stored: StoredRun) -> list[Metric]:
    """List the default metrics that an answer lacks."""
    names = default_metrics(stored.run.task)
    return [
        METRICS[name] for name in names if not all(name in record.statistics for record in stored.records)
    ]


def _uncommitted(run: Run) -> Iterator[str]:
    """Warn of code that nobody else can check out."""
    for environment in (run.environment, *(part.environment for part in run.resumptions)):
        if environment.code.endswith(CHANGED):
            commit = environment.code.removesuffix(CHANGED)[:12]
            yield (
                f"Run {run.run_id} was measured with changes to commit {commit} that were not committed: "
                "nobody can measure it again with the same code."
            )
            return


def _letters_dropped(stored: StoredRun) -> str:
    """Say that ROUGE was computed before version 2, which left no word of such texts."""
    old = "|tok:" not in stored.run.signatures.get("rougeL", "|tok:")
    texts = (reference for example in stored.examples for reference in example.references)
    if not old or all(_ASCII_WORD.search(text) for text in texts):
        return ""
    return (
        "has texts of letters beyond a to z, which ROUGE dropped when it was scored: "
        f"`hybrid score {stored.run.run_id} --metric rougeL` and so on score it anew."
    )


def _pauses(stored: StoredRun) -> list[float]:
    """Seconds in which nothing was measured; a clock that was set back hides one, and is no error.

    Between two blocks models are loaded, which may take as long.
    """
    starts: dict[int, tuple[str, float, int]] = {}
    for record in stored.records:
        timing = record.generation.timing
        starts.setdefault(record.position, (record.started_at, timing.total_s, record.block))
    pauses: list[float] = []
    end, before = None, 0
    for _, (started_at, total_s, block) in sorted(starts.items()):
        try:
            start = datetime.fromisoformat(started_at).timestamp()
        except ValueError:
            continue
        if end is not None and start - end > PAUSE_S and block == before:
            pauses.append(start - end)
        end, before = start + total_s, block
    return pauses


def _in_task(run: Run, other: Run) -> Differences:
    """In texts and scores. Suites of two tasks have other metrics and numbers of references in any case."""
    if run.plan.suite_hash != other.plan.suite_hash:
        yield "given a suite of other content than", _both(_suite(run), _suite(other))
    elif part := _part(run, other):
        yield "given another part of the suite than", part
    if signatures := _signatures(run, other):
        yield "scored differently from", signatures


def _in_conditions(run: Run, other: Run) -> Differences:
    """In models, decoding, plan and environment."""
    if run.plan.pair != other.plan.pair:
        yield "made with another pair than", _both(run.plan.pair, other.plan.pair)
    environment = differing(run.environment, other.environment)
    if (weights := environment.pop("weights sha256", None)) and run.plan.pair == other.plan.pair:
        yield f"made with other weights of pair {run.plan.pair} than", _both(*weights)
    if sampling := _fields(run.plan.sampling, other.plan.sampling, _SAMPLING):
        yield "decoded differently from", sampling
    if plan := _fields(run.plan, other.plan, _PLAN):
        yield "measured differently from", plan
    environment.pop("machine", None)
    if others := _listed(environment):
        yield "made in another environment than", others


def _in_machine(run: Run, other: Run) -> Differences:
    """In machines of one name. other: made on a machine that is known, or `run` itself."""
    here, reference = run.environment, other.environment
    if machines := unlike(here.hardware, reference.hardware):
        rounding = "; int8 answers may differ between instruction sets"
        alike = here.hardware.instructions == reference.hardware.instructions
        values = f"{here.device_name}: {' against '.join(machines)}{'' if alike else rounding}"
        yield "made on another machine than", values
    elif reference.hardware.known and not here.hardware.known and here.device_name == reference.device_name:
        yield "made on what may be another machine than", f"{here.device_name} is all that is known"


def _part(run: Run, other: Run) -> str:
    """Compare limit and seed: a seed decides which examples a limit leaves; without one, only their order."""
    limited = run.plan.limit or other.plan.limit
    return _fields(run.plan, other.plan, ("limit", "seed")) if limited else ""


def _signatures(run: Run, other: Run) -> str:
    """Of the metrics that both have; a fixed-length run has none."""
    both = [name for name in run.signatures if name in other.signatures]
    return _listed({name: (run.signatures[name], other.signatures[name]) for name in both})


def _fields(part: object, other: object, names: Sequence[str]) -> str:
    return _listed({name: (getattr(part, name), getattr(other, name)) for name in names})


def _suite(run: Run) -> str:
    return f"{run.plan.suite} ({run.plan.suite_hash[:12]})"


def _listed(values: Mapping[str, tuple[object, object]]) -> str:
    """`threads (1 and 2)` for each whose two values differ."""
    return ", ".join(f"{name.replace('_', ' ')} ({_both(a, b)})" for name, (a, b) in values.items() if a != b)


def _both(first: object, second: object) -> str:
    return " and ".join("none" if value in ("", None) else str(value) for value in (first, second))
