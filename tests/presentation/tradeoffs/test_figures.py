"""The figures of the Trade-offs page: sentence, table and drawing say the same as the run."""

import re
from pathlib import Path

import pytest

from hybrid import schema
from hybrid.format import milliseconds
from hybrid.presentation.runs.digest import run_digest
from hybrid.presentation.tradeoffs.quality import quality_figure, without_quality
from hybrid.presentation.tradeoffs.results import tradeoffs
from hybrid.presentation.tradeoffs.selection import FigureSelection, select, stored_differences
from hybrid.presentation.tradeoffs.speedup_by_length import lengths_figure
from hybrid.presentation.tradeoffs.times import phases_figure, spread_figure
from hybrid.schema import Sampling, System
from hybrid.store.tables import Table
from tests.made_runs import store_run

SYSTEMS = (*schema.SYSTEMS, System("lossless"), System("hybrid", "torch"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    store_run(root, 0, examples=40, systems=SYSTEMS)
    store_run(root, 1, examples=40, device_name="A GPU")
    store_run(root, 2, examples=12, task="summarize")
    store_run(root, 3, examples=12, sampling=Sampling(64, ignore_eos=True))
    store_run(root, 4, examples=16, batch_size=8)
    return root


def pick(root: Path, *numbers: int, systems: tuple[str, ...] = ()) -> FigureSelection:
    ids = [f"made-{number:04}" for number in numbers]
    runs = [(run_digest(i, root), tradeoffs(i, root)) for i in ids]
    return select(runs, stored_differences(ids, root), systems)


def column(table: Table, name: str) -> list[object]:
    place = list(table.columns).index(name)
    return [row[place] for row in table.rows]


def test_quality_is_the_digests_and_latency_its_median(root: Path):
    drawing, rows = quality_figure(pick(root, 0), "bleu", "total"), run_digest("made-0000", root).rows
    assert drawing is not None
    systems = column(drawing.table, "system")
    assert set(systems) == set(SYSTEMS)
    for system, quality, latency in zip(
        systems, column(drawing.table, "quality"), column(drawing.table, "latency_ms"), strict=True
    ):
        assert quality == rows[system]["bleu"]
        assert latency == pytest.approx(rows[system]["total_ms_p50"], rel=1e-3)
    assert f"Hybrid {rows['hybrid']['total_ms_p50']:.1f} ms [" in drawing.says
    assert f"{rows['llm']['bleu']:.1f} BLEU [" in drawing.says
    assert f"SLM alone {milliseconds(rows['slm']['total_ms_p50'] / 1000)} [" in drawing.says
    assert "(n = 40)" in drawing.says
    best = [name for name, is_best in zip(systems, column(drawing.table, "frontier"), strict=True) if is_best]
    assert "slm" in best  # nothing is faster
    points = [trace for trace in drawing.figure.data if trace.mode == "markers"]
    assert len(points) == len(SYSTEMS)
    assert all(trace.error_x.array and trace.error_y.array for trace in points)


def test_lower_is_better_turns_the_axis_and_the_frontier(root: Path):
    drawing = quality_figure(pick(root, 0), "ter", "total")
    assert drawing is not None
    low, high = drawing.figure.layout.yaxis.range
    assert low > high
    rows = [dict(zip(drawing.table.columns, row, strict=True)) for row in drawing.table.rows]
    least = min(rows, key=lambda row: row["quality"])
    assert least["frontier"]
    assert "TER (lower is better)" in drawing.figure.layout.yaxis.title.text


def test_machines_are_flagged_on_the_figure_and_each_has_its_own_frontier(root: Path):
    both = pick(root, 0, 1)
    for drawing in (quality_figure(both, "bleu", "total"), spread_figure(both, "total"), phases_figure(both)):
        assert drawing is not None
        words = re.sub(
            r"<[^>]*>", " ", " ".join(annotation.text for annotation in drawing.figure.layout.annotations)
        )
        assert "differ in machine and texts: do not compare across them" in re.sub(r"\s+", " ", words)
    drawing = quality_figure(both, "bleu", "total")
    assert sum(trace.mode == "lines" for trace in drawing.figure.data) == 2
    assert {"LLM alone (run 0000)", "LLM alone (run 0001)"} <= {trace.name for trace in drawing.figure.data}
    assert not quality_figure(pick(root, 0), "bleu", "total").figure.layout.annotations


def test_tasks_do_not_mix_and_fixed_lengths_have_no_quality(root: Path):
    three = pick(root, 0, 2, 3)
    names = [digest.task.name for digest, _ in three.runs]
    assert names == ["translate-en-de", "summarize", "translate-en-de"]
    drawing = quality_figure(three.of_task(three.runs[0][0].task), "bleu", "total")
    assert drawing is not None
    assert set(column(drawing.table, "run")) == {"made-0000"}
    assert without_quality(three.of_task(three.runs[0][0].task), "bleu") == ["made-0003"]
    assert quality_figure(pick(root, 3), "bleu", "total") is None
    assert set(column(phases_figure(three).table, "run")) == {"made-0000", "made-0002", "made-0003"}


def test_speed_ups_by_length_have_a_line_at_1_and_a_break_even_in_words(root: Path):
    drawing = lengths_figure(pick(root, 0), "output")
    assert drawing is not None
    assert set(column(drawing.table, "system")) == set(SYSTEMS) - {"llm"}
    assert min(column(drawing.table, "n")) >= 10
    assert drawing.figure.layout.shapes[0].y0 == 1
    assert "Break-even, from a straight line fitted by least squares" in drawing.says
    tokens = (
        sorted(set(column(drawing.table, "tokens_from"))),
        sorted(set(column(drawing.table, "tokens_to"))),
    )
    assert f"faster at every measured length ({tokens[0][0]} to {tokens[1][-1]} tokens)" in drawing.says
    assert lengths_figure(pick(root, 4), "output") is None


def test_phases_sum_to_what_stands_beside_the_bar(root: Path):
    drawing = phases_figure(pick(root, 0))
    assert drawing is not None
    for row in drawing.table.rows:
        cells = dict(zip(drawing.table.columns, row, strict=True))
        parts = [
            value for name, value in cells.items() if name.endswith("_ms") and name != "sum_ms" and value
        ]
        assert sum(parts) == pytest.approx(cells["sum_ms"])
    drawn = {}
    for trace in drawing.figure.data:
        for place, length in zip(trace.y, trace.x, strict=True):
            drawn[place] = drawn.get(place, 0) + length
    assert list(drawn.values()) == pytest.approx(column(drawing.table, "sum_ms"))
    shares = phases_figure(pick(root, 0), share=True).figure
    assert sum(trace.x[0] for trace in shares.data) == pytest.approx(100)


def test_batches_are_said_to_be_counted(root: Path):
    drawing = spread_figure(pick(root, 4), "total")
    assert drawing is not None
    assert column(drawing.table, "n") == [2, 2, 2]
    assert "n counts batches" in drawing.says
    assert "n = 2 is too small for p50, p90 and p99" in drawing.says
    assert "per batch" in phases_figure(pick(root, 4)).says


def test_chosen_systems_alone_are_drawn_and_keep_their_looks(root: Path):
    few, all_of_them = pick(root, 0, systems=(System.parse("hybrid@torch"),)), pick(root, 0)
    assert [selected.system for selected in few] == ["hybrid@torch"]
    assert few.marks == all_of_them.marks
    assert [selected.system for selected in few.main] == ["hybrid@torch"]
    assert "Hybrid in torch" in quality_figure(few, "chrf", "ttft").says
    assert len(list(pick(root, 0, systems=(System("llm", "no-such"),)))) == len(SYSTEMS)
