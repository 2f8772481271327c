"""How far a run is and how fast: medians of paired ratios, and the pace of what was measured here."""

from typing import Any

import pytest

from hybrid.benchmark.schedule import RunProgress
from hybrid.schema import Generation, Plan, Record, Speedup, Timing

PLAN = Plan("s", suite_hash="", task="summarize", pair="p")


def record(system: Any, batch: int, total_s: float, example: str = "e") -> Record:
    generation = Generation(
        system=system,
        text="",
        token_ids=(1,),
        prompt_tokens=3,
        finish_reason="eos",
        timing=Timing({"decode": total_s}, (total_s,)),
    )
    return Record(
        example_id=f"{example}{batch}",
        repeat=0,
        batch=batch,
        position=0,
        started_at="",
        generation=generation,
        statistics={},
    )


def test_speedups_are_medians_of_paired_ratios():
    rows = [record("llm", 0, 8.0), record("hybrid", 0, 2.0), record("hybrid", 1, 1.0)]
    progress = RunProgress(PLAN, 9, rows)
    assert (progress.done, progress.speedups, progress.eta_s) == (3, {"hybrid": Speedup(4.0, 1)}, None)
    progress.add([record("llm", 1, 2.0)])
    assert (progress.speedups["hybrid"].median, progress.eta_s) == (3.0, None)  # no pace after one item
    progress.add([record("hybrid", 2, 1.0)])
    progress.add([record("llm", 2, 9.0), record("llm", 2, 9.0)])
    assert progress.speedups == {"hybrid": Speedup(4.0, 3)}  # of 4, 2 and 9
    assert progress.eta_s is not None
    assert (progress.event.done, progress.event.planned) == (7, 9)


def test_an_item_counts_once_however_its_rows_come():
    """The rows of a batch share its time: read one by one they are still one pair."""
    together, apart = RunProgress(PLAN, 4), RunProgress(PLAN, 4)
    rows = [record("llm", 0, 6.0, "a"), record("llm", 0, 6.0, "b")]
    mine = [record("slm", 0, 2.0, "a"), record("slm", 0, 2.0, "b")]
    together.add(rows)
    together.add(mine)
    for row in (*rows, *mine):
        apart.count([row])
    assert together.speedups == apart.speedups == {"slm": Speedup(3.0, 1)}
    assert together.done == apart.done == 4


def test_the_pace_is_of_what_was_measured_here():
    progress = RunProgress(PLAN, 12, [record("llm", 0, 1.0), record("slm", 0, 1.0)])
    progress.add([record("hybrid", 0, 1.0)], 100.0)
    assert progress.eta_s is None
    progress.add([record("llm", 1, 1.0)], 102.0)
    progress.add([record("slm", 1, 1.0)], 106.0)
    assert progress.eta_s == pytest.approx(3.0 * 7)  # 2 records in 6 s, 7 are left


def test_at_the_end_nothing_is_left():
    progress = RunProgress(PLAN, 2)
    progress.add([record("llm", 0, 1.0)], 1.0)
    progress.add([record("slm", 0, 1.0)], 2.0)
    assert progress.eta_s is None
