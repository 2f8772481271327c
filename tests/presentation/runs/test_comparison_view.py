"""A comparison as names, cells, numbers and sentences."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from hybrid.compare import Comparison, compare_runs
from hybrid.compare.bootstrap import Estimate
from hybrid.compare.columns import quality
from hybrid.format import NOTHING
from hybrid.metrics import METRICS
from hybrid.presentation.runs.comparison_view import (
    comparison_rows,
    numbered,
    numbers,
    placed,
    plain_summary,
    speed_sentence,
    table,
)
from hybrid.schema import BASELINE, System
from hybrid.store import StoredRun


@pytest.fixture
def two(fake_run: Callable[..., StoredRun]) -> tuple[Comparison, list[StoredRun]]:
    """Two runs of the same suite; the second has another engine."""
    runs = [fake_run(examples=8, run_id="a-1"), fake_run(examples=8, run_id="b-2", engine="onnx")]
    return compare_runs(runs), runs


def column(cells: object, name: str) -> list[object]:
    place = list(cells.columns).index(name)
    return [row[place] for row in cells.rows]


def test_each_system_of_each_run_has_a_name_of_its_own(two: tuple[Comparison, list[StoredRun]]):
    comparison, runs = two
    systems = comparison_rows(comparison)
    assert [row.name for row in systems] == [
        "LLM alone [1]", "SLM alone [1]", "Hybrid [1]", "LLM alone [2]", "SLM alone [2]", "Hybrid [2]",
    ]  # fmt: skip
    assert [row.engine for row in systems] == [0, 0, 0, 1, 1, 1]
    assert [row.name for row in comparison_rows(compare_runs(runs[:1]))] == [
        "LLM alone",
        "SLM alone",
        "Hybrid",
    ]
    assert numbered([run.run for run in runs])[1].startswith("[2] b-2: made-up, pair tiny, onnx in float32")


def test_numbers_are_those_of_the_comparison(two: tuple[Comparison, list[StoredRun]]):
    comparison, _ = two
    systems = comparison_rows(comparison)
    rows, hybrid = numbers(systems), comparison.systems[2]
    assert column(rows, "speedup_end_to_end")[2] == hybrid.against.speedups["end_to_end"].value
    assert column(rows, "quality")[2] == hybrid.summary.quality["rougeL"].value
    assert column(rows, "total_ms_p50")[2] == hybrid.summary.latencies["total"].p50_ms
    assert column(rows, "baseline_run") == [None, "a-1", "a-1", None, "b-2", "b-2"]
    assert column(rows, "n") == [8] * 6
    assert [mark.speedup is None for mark in placed(systems)] == [True, False, False] * 2


def test_cells_say_value_and_interval_and_which_is_the_baseline(two: tuple[Comparison, list[StoredRun]]):
    comparison, _ = two
    cells = table(comparison_rows(comparison))
    assert column(cells, "speed-up")[0] == "baseline"
    assert column(cells, "speed-up")[1].startswith("0.")
    assert "[" in column(cells, "speed-up")[1]
    assert " ROUGE-L [" in column(cells, "quality")[0]


def test_a_metric_that_a_run_was_scored_by_later_has_a_column(fake_run: Callable[..., StoredRun]):
    stored = fake_run(examples=8)
    before = table(comparison_rows(compare_runs([stored])))
    records = tuple(
        replace(record, statistics={**record.statistics, "repetition": (1.0, 4.0)})
        for record in stored.records
        if record.generation.system == "hybrid"
    )
    others = tuple(record for record in stored.records if record.generation.system != "hybrid")
    cells = table(comparison_rows(compare_runs([replace(stored, records=(*others, *records))])))
    label = quality(METRICS["repetition"]).label
    assert [name for name in cells.columns if name not in before.columns] == [label]
    assert column(cells, label) == [NOTHING, NOTHING, "25.0 [25.0, 25.0]"]
    assert [column(cells, name) for name in before.columns] == [
        column(before, name) for name in before.columns
    ]
    assert list(before.columns) == [
        "system", "engine", "device", "quality", "against the baseline", "99 % target", "total, ms",
        "TTFT, ms", "TPOT, ms", "speed-up", "per token", "n",
    ]  # fmt: skip


def test_few_examples_are_called_few(fake_run: Callable[..., StoredRun]):
    systems = comparison_rows(compare_runs([fake_run(examples=5)]))
    cells = table(systems)
    assert column(cells, "against the baseline")[2].endswith(", too few to tell")
    assert column(cells, "99 % target") == [NOTHING, "undecided", "undecided"]
    assert plain_summary(systems[2], systems).endswith(": too few examples (n = 5) to tell.")


def test_another_run_s_system_may_be_the_baseline(two: tuple[Comparison, list[StoredRun]]):
    systems = comparison_rows(compare_runs(two[1], "b-2:llm"))
    assert column(numbers(systems), "baseline_run") == ["b-2", "b-2", "b-2", None, "b-2", "b-2"]
    assert " than LLM alone [2] and" in plain_summary(systems[0], systems)


@pytest.mark.parametrize(
    ("speed", "sentence"),
    [
        (Estimate(3.0, 2.9, 3.1, 8), "answers 3.0 times as fast as LLM alone and"),
        (Estimate(0.25, 0.2, 0.3, 8), "takes 4.0 times as long as LLM alone and"),
        (Estimate(1.01, 0.9, 1.1, 8), "is not significantly faster or slower than LLM alone and"),
        (Estimate(57.2, None, None, 1), "answers 57 times as fast as LLM alone and"),
        (None, "cannot be compared in speed with LLM alone and"),
    ],
)
def test_speed_in_plain_words(speed: Estimate | None, sentence: str, fake_run: Callable[..., StoredRun]):
    comparison = compare_runs([fake_run(examples=8)])
    hybrid = comparison.systems[2]
    changed = replace(hybrid.against, speedups=dict(hybrid.against.speedups) | {"end_to_end": speed})
    systems = comparison_rows(
        replace(comparison, systems=(*comparison.systems[:2], replace(hybrid, against=changed)))
    )
    assert sentence in plain_summary(systems[2], systems)
    assert "(n = 8)." in plain_summary(systems[2], systems)


def test_what_is_kept_is_said_with_its_weight(fake_run: Callable[..., StoredRun]):
    comparison = compare_runs([fake_run(examples=8)])
    systems = comparison_rows(comparison)
    gate, difference = comparison.systems[2].against.gate, comparison.systems[2].against.differences["rougeL"]
    what = "loss" if gate.quality.value < 1 else "gain"
    what = f"significant {what}" if difference.decided else f"{what} that is not significant"
    sentence = f"keeps {100 * gate.quality.value:.1f} % of its ROUGE-L, a {what}"
    assert sentence in plain_summary(systems[2], systems)


def test_the_sentence_of_the_figure_counts(two: tuple[Comparison, list[StoredRun]]):
    sentence = speed_sentence(comparison_rows(two[0]))
    assert sentence.startswith("Of 4 systems, ")
    assert "n = 8" in sentence
    assert "only the baseline" in speed_sentence(comparison_rows(two[0])[:1])


def test_names_from_elsewhere_cannot_turn_the_text_around(fake_run: Callable[..., StoredRun]):
    run = fake_run(examples=2, systems=(BASELINE, System("hybrid", "x\u202ey"))).run
    stored = fake_run(examples=2, systems=(BASELINE, System("hybrid", "x\u202ey")), pair="p\u202eq")
    names = [row.name for row in comparison_rows(compare_runs([stored]))]
    assert not any("\u202e" in text for text in [*names, *numbered([run, stored.run])])
