"""Scores of a stored run: computed from its texts, at the end of a benchmark or at any time later."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from hybrid.errors import InputError
from hybrid.format import counted, listed
from hybrid.measuring.environment import product_version
from hybrid.metrics import METRICS, Metric, metric_of, metrics_of, statistics_of
from hybrid.metrics.sacre import lacking_dictionary
from hybrid.schema import Example, Notice, Observer, Record, Status, Task, silent
from hybrid.store import RunReader, open_scores, score_headers
from hybrid.store.folders import ROOT

Statistics = dict[str, tuple[float, ...]]  # by metric


class AnswerScores:
    """Statistics of answers by `metrics`, computed once for each text: repeats mostly write the same."""

    def __init__(self, task: Task, examples: Iterable[Example], metrics: Sequence[str]) -> None:
        self._task, self._metrics = task, metrics
        self._examples = {example.id: example for example in examples}
        self._known: dict[tuple[str, str], Statistics] = {}

    def of(self, record: Record) -> Statistics:
        """Give those of a record, whose text is there."""
        key = record.example_id, record.generation.text
        if key not in self._known:
            example = self._examples[record.example_id]
            texts = record.generation.text, example.references, example.source
            self._known[key] = statistics_of(self._task, *texts, self._metrics)
        return self._known[key]


def score_run(
    run_id: str,
    metrics: Sequence[str] | None = None,
    observer: Observer = silent,
    *,
    root: Path | None = None,
) -> tuple[str, ...]:
    """Score the answers of a stored run, and store the scores beside them.

    run_id: an id, the beginning of one, or `latest`. metrics: names in
    hybrid.metrics.METRICS; all that can judge the run's task when None. A metric
    is computed where an answer lacks it; one that is named also where what is
    stored was computed in another way, by its signature or version. The answers
    stay as they are, and the run may be incomplete.

    Returns the metrics that were computed. Raises InputError for a metric that is
    unknown or not for the run's task, or for any of a run of fixed length, whose
    answers have no quality, or for one that a private run lacks; StoreError when the run
    cannot be read or written.
    """
    reader = RunReader(run_id, root)
    task, fixed = reader.run.task, reader.run.plan.sampling.ignore_eos
    chosen = [metric_of(name, task) for name in (metrics_of(task) if metrics is None else metrics)]
    if fixed and metrics:
        raise InputError(
            f"Run {reader.run.run_id} has a fixed length: its answers carry no quality to score."
        )
    lacking = [] if fixed else _lacking(reader, chosen, named=metrics is not None)
    if not lacking:
        return ()
    if reader.run.plan.private:
        raise InputError(
            f"Run {reader.run.run_id} is private and holds no texts, so that it cannot be scored by "
            f"{listed([metric.label for metric in lacking])}; only when it was measured could it."
        )
    if needed := lacking_dictionary(task.target_language):
        observer(Notice(sentence=needed))
    labels = [metric.label for metric in lacking if not metric.catches]
    checks = counted(len(lacking) - len(labels), "check") if len(labels) < len(lacking) else ""
    observer(Status(sentence=f"Scoring the answers by {listed([*labels, *filter(None, [checks])])}"))
    headers = {metric.name: (metric.version, _signature(reader, metric)) for metric in lacking}
    scores = AnswerScores(task, reader.examples, tuple(headers))
    with open_scores(reader.folder, headers, product_version(ROOT)) as append:
        for record in reader.records():
            append(record, scores.of(record))
    return tuple(headers)


def _lacking(reader: RunReader, metrics: Sequence[Metric], named: bool) -> list[Metric]:
    """Return the metrics that have something to compute."""
    headers, signatures = score_headers(reader.folder), reader.run.signatures
    lacking = set()
    for metric in metrics if named and not reader.run.plan.private else ():  # its texts would tell how
        if header := headers.get(metric.name):
            computed = header.signature == _signature(reader, metric) and header.version == metric.version
        else:
            computed = signatures.get(metric.name, "") == _signature(reader, metric)
        if not computed:
            lacking.add(metric.name)
    names = {metric.name for metric in metrics}
    for record in reader.records():
        lacking |= names - record.statistics.keys()
        if lacking == names:
            break
    return [metric for metric in METRICS.values() if metric.name in lacking]


def _signature(reader: RunReader, metric: Metric) -> str:
    counts = {len(example.references) for example in reader.examples}
    return metric.signature(counts, reader.run.task.target_language)
