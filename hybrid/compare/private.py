"""Runs without their texts: what a comparison needs of an open run, once its texts are withheld.

Systems without a model answer with parts of the source, which nobody has any more: what they answer is
scored before, and stored with the example.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from hybrid.compare.trivial import ANSWERS, stride
from hybrid.metrics import statistics_of
from hybrid.schema import Example, Task, TrivialAnswer
from hybrid.store import StoredRun
from hybrid.store.private import Digests, with_like_hashes


def beside_private(runs: Mapping[str, StoredRun]) -> Mapping[str, StoredRun]:
    """Withhold the texts of open runs that stand beside a private one of the same texts: so they pair."""
    plans = with_like_hashes([stored.run.plan for stored in runs.values()])
    return {
        run_id: stored if plan is stored.run.plan else withheld(stored, Digests(stored.run.plan.suite_hash))
        for (run_id, stored), plan in zip(runs.items(), plans, strict=True)
    }


def withheld(stored: StoredRun, digests: Digests) -> StoredRun:
    """Give a run as it would be stored without its texts; its suite keeps its name."""
    run, examples = stored.run, digests.examples(stored.examples)
    ids = {was.id: example.id for was, example in zip(stored.examples, examples, strict=True)}
    records = tuple(digests.record(record, ids[record.example_id]) for record in stored.records)
    plan = replace(run.plan, suite_hash=digests.suite_hash, columns={}, private=True)
    metrics = {metric for record in records for metric in record.statistics}
    without = without_texts(examples, digests, run.task, metrics)
    return replace(stored, run=replace(run, plan=plan), examples=without, records=records)


def without_texts(
    examples: Sequence[Example], digests: Digests, task: Task, metrics: Iterable[str]
) -> tuple[Example, ...]:
    """Leave of Digests.examples() what is stored: ids, and of summaries what trivial systems answer.

    metrics: by which these are scored. As many examples have them as a comparison looks at.
    """
    every = stride(len(examples))
    names = ANSWERS if task.kind == "summary" and metrics else {}

    def trivial(example: Example, answer: str) -> TrivialAnswer:
        statistics = statistics_of(task, answer, example.references, example.source, metrics)
        return TrivialAnswer(digests.answer(example.id, answer, 0), statistics)

    return tuple(
        Example(
            example.id, "", "", (),
            {name: trivial(example, ANSWERS[name](example.source)) for name in names if place % every == 0},
        )
        for place, example in enumerate(examples)
    )  # fmt: skip
