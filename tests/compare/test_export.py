"""Records as rows: their columns, the metrics behind them, and resumed runs. The rest is in tests/cli."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hybrid import store
from hybrid.compare import COLUMNS
from hybrid.compare.bootstrap import Array
from hybrid.compare.export import RECORD_COLUMNS, record_columns, record_rows, summary_columns
from hybrid.metrics import METRICS
from hybrid.metrics.rouge import Rouge1
from hybrid.schema import STATISTICS, Resumption, StatisticsShape, System
from hybrid.store import RunReader, StoredRun
from hybrid.store.tables import Cell


@pytest.fixture(autouse=True)
def _results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRID_RESULTS", str(tmp_path))


def stored(fake: StoredRun) -> RunReader:
    with store.create(fake.run, fake.examples) as writer:
        writer.append(fake.records)
    return RunReader(fake.run.run_id)


def columns(reader: RunReader, *names: str) -> list[tuple[Cell, ...]]:
    places = [list(RECORD_COLUMNS).index(name) for name in names]
    return [tuple(row[i] for i in places) for row in record_rows(reader)]


def test_default_metrics_have_columns_and_others_where_they_are_asked_for() -> None:
    first = list(RECORD_COLUMNS).index("bleu")
    default = [name for name, metric in METRICS.items() if metric.default]
    assert list(RECORD_COLUMNS)[first : first + len(default)] == default
    others = [name for name, metric in METRICS.items() if not metric.default]
    for columns in (summary_columns, record_columns):
        assert not {*others} & columns().keys()
        assert {*others} <= columns(METRICS).keys()
        assert list(columns(METRICS))[: len(columns())] == list(columns())


def test_conditions_have_the_names_of_the_summaries() -> None:
    names = list(RECORD_COLUMNS)
    conditions = names[: names.index("repeat")]
    assert {name: RECORD_COLUMNS[name] for name in conditions} == {name: COLUMNS[name] for name in conditions}
    assert {"seed", "suite_hash", "code", "weights_sha256", "device_name", "cpu"} < set(conditions)


def test_a_metric_that_changes_takes_only_its_own_statistics(
    fake_run: Callable[..., StoredRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Changed(Rouge1):
        width = 2

        def score(self, sums: Array, n: int) -> Array:
            return sums[:, 1]

    monkeypatch.setitem(METRICS, "rouge1", Changed())
    monkeypatch.setitem(STATISTICS, "rouge1", StatisticsShape(2))
    fake = fake_run(systems=(System("llm"),))
    odd: list[dict[str, Any]] = [{"rouge1": (0.5,)}, {"rouge1": (3.0, 4.0)}, {}]
    records = tuple(replace(record, statistics=s) for record, s in zip(fake.records, odd, strict=True))
    reader = stored(replace(fake, records=records))
    assert columns(reader, "rouge1") == [(None,), (4.0,), (None,)]


def test_what_was_measured_elsewhere_says_so(
    fake_run: Callable[..., StoredRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybrid.compare.export._AT_ONCE", 3)
    fake = fake_run()
    here = fake.run.environment
    moved = (
        Resumption(records_before=4, environment=replace(here, cpu="B CPU")),
        Resumption(records_before=4, environment=replace(here, cpu="C", code="f00")),
    )
    reader = stored(fake)
    reader.run = replace(reader.run, resumptions=(*moved, Resumption(records_before=7, environment=here)))
    expected = [("A CPU", "620233b")] * 4 + [("C", "f00")] * 3 + [("A CPU", "620233b")] * 2
    assert columns(reader, "cpu", "code") == expected
