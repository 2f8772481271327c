"""A claim measured until it is decided: a benchmark that is looked at while it goes on, and stopped.

Looking early is no cheating here, as all intervals are always-valid ones (compare.sequential). A look
costs time on another core than the one that measures, so that the next one comes after a tenth more
examples: the decision is seen at most that much later.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hybrid.benchmark.run import run_benchmark
from hybrid.benchmark.scoring import AnswerScores
from hybrid.compare.claims import QUALITY, Claim, Judged, judge_claim
from hybrid.errors import HybridError, InputError
from hybrid.metrics import METRICS, main_metric, metric_of
from hybrid.schema import Event, Interrupted, Observer, Plan, Progress, Started, Suite, Task, silent
from hybrid.store import StoredRun, load_run, run_of

FEWEST = 7  # examples: before that nothing can be decided
STEP = 1.1  # of examples, from look to look


class _Decided(HybridError):
    """Ends a benchmark whose claim is decided."""


def plan_of_claim(claim: Claim, plan: Plan) -> Plan:
    """Make the plan that measures a claim as `plan` says: both systems side by side, and no memory."""
    return replace(
        plan, suite=claim.suite, pair=claim.pair, systems=(claim.baseline, claim.system), memory=False
    )


def run_claim(
    claim: Claim,
    plan: Plan,
    observer: Observer = silent,
    *,
    suite: Suite | None = None,
    wait_s: float = 0.0,
    root: Path | None = None,
) -> Judged:
    """Measure until the claim is decided, or all examples of `plan` are answered.

    plan: of plan_of_claim(). The others as of run_benchmark(), whose errors pass through. What was
    measured is stored as a run that can go on, scored like any other. Raises InputError for a private plan,
    and for what is claimed of a metric that the suite's task does not have.
    """
    if plan.private:
        raise InputError("A private run cannot be stopped by a claim: measure it whole, and ask it then.")
    if named := [system for system in (claim.system, claim.baseline) if system.trivial]:
        raise InputError(f"{named[0]} needs no measuring: ask a stored run, without --run.")
    watch = _Watch(claim, observer, root)
    try:
        run_id = run_benchmark(plan, watch, suite=suite, wait_s=wait_s, root=root).run_id
    except _Decided:
        run_id = watch.run_id
    stored = load_run(run_id, root)
    return judge_claim(_of(claim, stored), stored, always_valid=True)


def _of(claim: Claim, stored: StoredRun) -> Claim:
    """Name the suite as its run does: a file's is stored without its folders."""
    return replace(claim, suite=stored.run.plan.suite)


class _Watch:
    """An observer that looks at what is stored, and stops the benchmark when the claim is decided.

    run_id: of the run, once it has begun.
    """

    def __init__(self, claim: Claim, observer: Observer, root: Path | None) -> None:
        self._claim, self._observer, self._root = claim, observer, root
        self._scores: AnswerScores | None = None
        self._next, self._is_decided = float(FEWEST), False
        self.run_id = ""

    def __call__(self, event: Event, /) -> None:
        if isinstance(event, Interrupted) and self._is_decided:
            return  # it is where it was to come
        self._observer(event)
        if isinstance(event, Started):
            self.run_id = event.run_id
            self._check(run_of(event.run_id, self._root).task)
        if isinstance(event, Progress) and event.done // 2 >= self._next and event.done < event.planned:
            self._next = STEP * (event.done // 2)
            if self._look():
                self._is_decided = True
                raise _Decided(f"The claim about {self._claim.suite} is decided.")

    def _check(self, task: Task) -> None:
        """Raise InputError, before anything is measured, where the task has no such metric."""
        for part in _claimed(self._claim, task):
            metric_of(part, task)

    def _look(self) -> bool:
        stored = self._scored(load_run(self.run_id, self._root))
        return judge_claim(_of(self._claim, stored), stored, always_valid=True).outcome != "open"

    def _scored(self, stored: StoredRun) -> StoredRun:
        """Score the answers that are there, each once over all looks, by what is claimed."""
        task = stored.run.task
        if self._scores is None:
            self._scores = AnswerScores(task, stored.examples, _claimed(self._claim, task))
        scores = self._scores
        records = tuple(replace(record, statistics=scores.of(record)) for record in stored.records)
        return replace(stored, records=records)


def _claimed(claim: Claim, task: Task) -> Sequence[str]:
    names = (main_metric(task).name if part == QUALITY else part for part in claim.at_least)
    return [name for name in names if name in METRICS]
