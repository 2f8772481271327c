"""Runs without texts: measured like all others, scored at once, stored without source, reference or answer.

What such a run may name: bundled suites and those of sacrebleu, whose names are public. Of a file, of a
data set of the Hub and of a suite that only Python knows, name, columns, domains and licence stay out.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from pathlib import Path

from hybrid.benchmark.schedule import select_examples
from hybrid.benchmark.scoring import AnswerScores, score_run
from hybrid.compare.private import withheld, without_texts
from hybrid.errors import InputError, SuiteError
from hybrid.metrics import METRICS, metrics_of
from hybrid.metrics.sacre import lacking_dictionary
from hybrid.schema import Example, Notice, Observer, Plan, Record, Run, Status, Suite, Task, silent
from hybrid.schema.runs import UNNAMED
from hybrid.store import Writer, create, load_run, new_run_id
from hybrid.store.private import SECRET, Digests
from hybrid.suites import is_bundled, load_suite

# Seconds that answers stay in memory with their texts, before they are scored and stored without. Scoring one
# takes milliseconds, as long as a GPU takes to write it, and a GPU that waits lowers its clocks: so most runs
# are scored where nothing is measured, between their blocks. A process that is killed loses what it holds;
# one that is interrupted, or fails, nothing.
HELD_S = 600.0


@dataclass(frozen=True)
class PrivateTexts:
    """A plan as a private run stores it, and the examples that it measures, their ids digests.

    The examples go to the processes that measure, through pipes; stored() is what is left of them.
    """

    plan: Plan
    examples: tuple[Example, ...]
    digests: Digests

    def signatures(self, task: Task) -> dict[str, str]:
        """Say how every answer is scored, by metric: by all that can judge the task, as later none can."""
        if self.plan.sampling.ignore_eos:
            return {}
        counts = {len(example.references) for example in self.examples}
        return {name: METRICS[name].signature(counts, task.target_language) for name in metrics_of(task)}

    def stored(self, task: Task, observer: Observer = silent) -> tuple[Example, ...]:
        """Leave of the examples what a run stores."""
        if needed := lacking_dictionary(task.target_language):
            observer(Notice(sentence=needed))
        observer(Status(sentence="Taking the texts out"))
        return without_texts(self.examples, self.digests, task, tuple(self.signatures(task)))


def private_texts(plan: Plan, suite: Suite) -> PrivateTexts:
    """Withhold what names and identifies a suite. plan: settled, but for its suite."""
    digests = Digests(suite.content_hash)
    name = plan.suite if is_public(plan.suite) else digests.suite_name(plan.label)
    stored = replace(plan, suite=name, suite_hash=digests.suite_hash, columns={})
    return PrivateTexts(stored, digests.examples(select_examples(plan, suite)), digests)


def texts_to_resume(run: Run, suite: Suite | None, examples: tuple[Example, ...]) -> PrivateTexts:
    """Find the texts of a private run again, which does not hold them.

    suite: needed where the run does not name it. examples: as the run stores them.
    Raises SuiteError when it is missing, or has other texts.
    """
    plan = run.plan
    if suite is None and plan.suite.startswith(UNNAMED):
        raise SuiteError(how_to_resume(run.run_id))
    texts = private_texts(plan, suite or load_suite(plan.suite, plan.task))
    if texts.digests.suite_hash != plan.suite_hash or _ids(texts.examples) != _ids(examples):
        raise SuiteError(
            f"These are other texts than those that run {run.run_id} was begun with, or {SECRET} is another. "
            "Restore them, or start a new run."
        )
    return texts


def _ids(examples: Sequence[Example]) -> list[str]:
    return [example.id for example in examples]


def how_to_resume(run_id: str) -> str:
    """Say how a private run goes on whose suite it does not name."""
    return (
        f"Run {run_id} is private and holds no texts: name its suite, too, as in "
        f"`hybrid bench file:PATH --resume {run_id}`."
    )


def is_of(plan: Plan, suite: Suite) -> bool:
    """Tell whether a plan was made for these texts, by its suite_hash, which a private run keys."""
    digest = Digests(suite.content_hash).suite_hash if plan.private else suite.content_hash
    return plan.suite_hash in (suite.content_hash, digest)


def is_public(suite: str) -> bool:
    """Tell whether a private run may name this suite: what it is called tells nothing that is not public."""
    return is_bundled(suite) or suite.startswith("sacrebleu:")


def shown_plan(plan: Plan) -> Plan:
    """Give a plan as others may see it: of a private one no name that is not public."""
    if not plan.private or is_public(plan.suite):
        return plan
    return replace(plan, suite="file:PATH", suite_hash="", columns={})


@contextmanager
def answers_into(writer: Writer, texts: PrivateTexts | None) -> Iterator["AnswerWriter"]:
    """Give what takes a run's answers, of a private one without their texts; in the end all are stored."""
    answers = PrivateWriter(writer, texts) if texts else AnswerWriter(writer)
    try:
        yield answers
    finally:
        answers.flush()


class AnswerWriter:
    """Stores answers as they come."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def append(self, records: Sequence[Record]) -> None:
        """Store the records of an item. Raises StoreError as Writer.append() does."""
        self._writer.append(records)

    def flush(self) -> None:
        """Store what is held back."""


class PrivateWriter(AnswerWriter):
    """Scores answers and takes their texts out before they are stored, within HELD_S or with flush()."""

    def __init__(self, writer: Writer, texts: PrivateTexts) -> None:
        super().__init__(writer)
        task = writer.run.task
        self._digests = texts.digests
        self._scores = AnswerScores(task, texts.examples, tuple(texts.signatures(task)))
        self._held: list[Sequence[Record]] = []
        self._stored_s = time.monotonic()

    def append(self, records: Sequence[Record]) -> None:
        self._held.append(records)
        if time.monotonic() - self._stored_s >= HELD_S:
            self.flush()

    def flush(self) -> None:
        held, self._held = self._held, []
        for records in held:
            self._writer.append([self._without_text(record) for record in records])
        self._stored_s = time.monotonic()

    def _without_text(self, record: Record) -> Record:
        return self._digests.record(replace(record, statistics=self._scores.of(record)), record.example_id)


def make_private(
    run_id: str, observer: Observer = silent, *, label: str = "", root: Path | None = None
) -> str:
    """Store a copy of a complete run without its texts, and return the copy's id.

    run_id: as find_run() understands it. label: what the copy calls the suite where its name is
    withheld; a part of its hash where it is empty.
    The run itself is scored by what it lacks of the metrics for its task, as `hybrid score` does
    it, and stays. Comparisons of the copy are those of the run.
    Raises InputError for a run that is private already, incomplete or damaged, StoreError.
    """
    stored = load_run(run_id, root)
    run = stored.run
    why = ""
    if run.plan.private:
        why = "is private already"
    elif run.finished_at is None:
        why = f"is incomplete: `hybrid bench --resume {run.run_id}` ends it"
    elif stored.problems or not run.plan.suite_hash:
        why = " ".join(("is damaged:", *stored.problems)) if stored.problems else "has no hash of its suite"
    if why:
        raise InputError(f"Run {run.run_id} {why.rstrip('.')}.")
    if score_run(run.run_id, None, observer, root=root):
        stored = load_run(run.run_id, root)
    digests = Digests(run.plan.suite_hash)
    copy = withheld(stored, digests)
    plan = copy.run.plan
    if not is_public(plan.suite):
        plan = replace(plan, suite=digests.suite_name(label), label=label)
        copy = replace(copy, run=replace(copy.run, licence=""))
    new_id = new_run_id(plan, datetime.fromisoformat(run.created_at))
    unfinished = replace(copy.run, run_id=new_id, plan=plan, memory={}, finished_at=None)
    with create(unfinished, copy.examples, root, sealed=stored.sealed) as writer:
        for _, records in groupby(copy.records, lambda record: record.position):
            writer.append(list(records))
        writer.finish(run.memory, run.finished_at or "")
    return writer.run.run_id
