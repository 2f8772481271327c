"""Paired over the examples both have answered: speed-ups, differences, gate."""

import statistics
from dataclasses import replace

import numpy as np
import pytest

from hybrid.compare.bootstrap import Resamples
from hybrid.compare.paired import PairedComparison, paired_comparison, quality_ratio
from hybrid.compare.results import results_by_system
from hybrid.errors import InputError
from hybrid.metrics import METRICS, Case, score
from hybrid.schema import Example, Sampling, System
from hybrid.store import StoredRun
from tests.compare.fake import (
    changed,
    examples,
    generation,
    make_run,
    quarter,
    reference,
    right,
    slow,
    with_records,
    worse,
)

DRAWS = Resamples(300)


def compared(
    stored: StoredRun, system: System = "hybrid", other: StoredRun | None = None
) -> PairedComparison:
    return paired_comparison(
        results_by_system(stored)[system], results_by_system(other or stored)["llm"], DRAWS
    )


def test_the_speed_up_is_the_median_of_paired_ratios() -> None:
    ratios = [2.0, 3.0, 5.0, 5.0, 5.0, 7.0, 11.0]
    stored = make_run(7, seconds={"hybrid": lambda i, r: slow(i) / ratios[i]})
    paired = compared(stored)
    assert paired.speedups["end_to_end"].value == pytest.approx(5.0)
    assert paired.speedups["ttft"].value == pytest.approx(5.0)
    assert 2.0 <= paired.speedups["end_to_end"].low < 5.0 < paired.speedups["end_to_end"].high <= 11.0
    assert (paired.n, paired.speedups["end_to_end"].n, paired.paired_by) == (7, 7, "example")


def test_repeats_count_by_their_median_and_not_as_examples() -> None:
    slips = [1.0, 1.0, 9.0]  # something else ran on the machine in the last repeat
    stored = make_run(9, seconds={"hybrid": lambda i, r: slow(i) / 4 * slips[r]}, repeats=3)
    paired = compared(stored).speedups["end_to_end"]
    assert (paired.value, paired.low, paired.high, paired.n) == pytest.approx((4.0, 4.0, 4.0, 9))


def test_time_per_token_leaves_out_answers_of_one_token() -> None:
    def shorten(record):
        if record.example_id in ("e0000", "e0001") and record.system == "hybrid":
            return replace(record, generation=generation("hybrid", "", 0.1, tokens=1))
        return record

    paired = compared(with_records(make_run(6), shorten)).speedups
    assert (paired["per_token"].n, paired["ttft"].n) == (4, 6)
    nothing = with_records(
        make_run(3), lambda r: replace(r, generation=generation(r.system, "", 0.1, tokens=1))
    )
    assert compared(nothing).speedups["per_token"] is None


def test_batches_are_pairs_and_are_resampled_as_batches() -> None:
    stored = make_run(20, seconds={"hybrid": lambda batch, r: slow(batch) / (2 + batch)}, batch_size=4)
    paired = compared(stored)
    speedup = paired.speedups["end_to_end"]
    assert (speedup.value, speedup.n, paired.paired_by) == (pytest.approx(4.0), 5, "batch")
    assert paired.differences["bleu"].n == 20


def test_only_batches_of_the_same_examples_are_pairs() -> None:
    four, all_its_own = make_run(12, run_id="four", batch_size=4), {"llm": lambda batch, r: 100.0 + batch}
    turned = reordered(make_run(12, run_id="turned", batch_size=4, seconds=all_its_own))
    paired = compared(four, other=turned)
    speedup = paired.speedups["end_to_end"]
    assert (paired.n, paired.paired_by, speedup.n) == (12, "batch", 1)
    assert speedup.value == pytest.approx(101.0 / quarter(1))  # the middle batch holds the same four for both
    for run, another in ((four, make_run(12, run_id="two", batch_size=2)), (make_run(12), four)):
        for system, baseline in ((run, another), (another, run)):
            paired = compared(system, other=baseline)
            assert (paired.paired_by, set(paired.speedups.values())) == ("batch", {None})
            assert paired.differences["bleu"].n == 12


def test_a_batch_with_another_text_is_no_pair() -> None:
    own_run = make_run(8, run_id="ours", batch_size=4)
    base_run = make_run(8, run_id="theirs", batch_size=4)
    texts = tuple(replace(e, source="Another text.") if e.id == "e0001" else e for e in base_run.examples)
    paired = compared(own_run, other=replace(base_run, examples=texts))
    assert (paired.n, paired.speedups["end_to_end"].n) == (7, 1)


def reordered(stored: StoredRun) -> StoredRun:
    """The first and the last example change places, and with them their batches."""
    swapped = {"e0000": "e0011", "e0011": "e0000"}
    return with_records(stored, lambda r: replace(r, example_id=swapped.get(r.example_id, r.example_id)))


@pytest.mark.parametrize("system", ["llm", "hybrid"])
def test_zero_durations_give_no_ratio(system: System) -> None:
    times = {system: lambda i, r: 0.0 if i < 2 else 0.1}
    assert compared(make_run(5, seconds=times)).speedups["end_to_end"].n == 3
    times = {system: lambda i, r: 0.0}
    assert compared(make_run(5, seconds=times)).speedups == {
        "end_to_end": None,
        "per_token": None,
        "ttft": None,
    }


def test_differences_are_system_minus_baseline() -> None:
    paired = compared(make_run(30)).differences
    references = [[reference(i)] for i in range(30)]
    assert set(paired) == {"bleu", "chrf", "ter"}
    for metric, difference in paired.items():
        system = score(metric, [worse(i) for i in range(30)], references).value
        baseline = score(metric, [right(i) for i in range(30)], references).value
        assert difference.value == pytest.approx(system - baseline)
        assert difference.low < difference.value < difference.high
        assert difference.decided
        assert difference.p_value < 0.05
    assert paired["ter"].value > 0 > paired["bleu"].value


def test_resamples_are_shared_so_that_equal_outputs_never_differ() -> None:
    paired = compared(make_run(12, {"llm": worse}))
    for difference in paired.differences.values():
        assert (difference.value, difference.low, difference.high, difference.p_value) == (0.0, 0.0, 0.0, 1.0)
    assert (paired.length_ratio.low, paired.length_ratio.high, paired.agreement) == (1.0, 1.0, 1.0)


def test_length_and_agreement() -> None:
    paired = compared(make_run(30))
    words = [
        sum(METRICS["length"].statistics(Case(text(i), [""]))[0] for i in range(30))
        for text in (worse, right)
    ]
    assert paired.length_ratio.value == pytest.approx(words[0] / words[1])
    assert paired.length_ratio.low < paired.length_ratio.value < paired.length_ratio.high < 1
    assert paired.agreement == pytest.approx(2 / 3)


def test_only_shared_examples_with_the_same_text_count() -> None:
    own_run = make_run(20, run_id="ours", answered=lambda system, i, r: i >= 5)
    base_run = make_run(12, run_id="theirs")
    other = Example("e0007", "made", "Another text.", ("Etwas.",))
    texts = tuple(other if e.id == "e0007" else e for e in examples(12))
    paired = compared(own_run, other=replace(base_run, examples=texts))
    shared = [i for i in range(5, 12) if i != 7]
    assert paired.n == len(shared)
    assert (paired.run_id, paired.system) == ("theirs", "llm")
    references = [[reference(i)] for i in shared]
    gap = score("bleu", [worse(i) for i in shared], references).value - 100
    assert paired.differences["bleu"].value == pytest.approx(gap)


def test_pairs_do_not_depend_on_the_order_of_examples() -> None:
    stored = make_run(9, seconds={"hybrid": lambda i, r: slow(i) / (1 + i)}, texts={"hybrid": worse})
    turned = replace(stored, examples=stored.examples[::-1], records=stored.records[::-1])
    in_order, in_reverse = compared(stored), compared(stored, other=turned)
    assert (
        in_reverse.speedups["end_to_end"].value == in_order.speedups["end_to_end"].value == pytest.approx(5.0)
    )
    assert in_reverse.differences["bleu"].value == pytest.approx(in_order.differences["bleu"].value)


def test_nothing_shared_and_other_tasks_are_refused() -> None:
    own_run = make_run(4, run_id="ours")
    base_run = make_run(4, run_id="theirs")
    base_run = replace(base_run, examples=tuple(replace(e, source="Other.") for e in base_run.examples))
    with pytest.raises(InputError, match="hybrid of run ours and the baseline llm of run theirs have no"):
        compared(own_run, other=base_run)
    with pytest.raises(InputError, match="compare runs of one task"):
        compared(own_run, other=changed(base_run, {"task": "summarize"}))


def test_fixed_length_compares_times_only() -> None:
    paired = compared(make_run(6, sampling=Sampling(ignore_eos=True)))
    assert (paired.differences, paired.length_ratio, paired.agreement, paired.gate) == (
        None,
        None,
        None,
        None,
    )
    assert paired.speedups["end_to_end"].value == pytest.approx(4.0)


def test_one_example_has_values_without_intervals() -> None:
    paired = compared(make_run(1))
    assert (paired.speedups["end_to_end"].low, paired.differences["bleu"].p_value) == (None, None)
    assert paired.speedups["end_to_end"].value == pytest.approx(4.0)


def test_the_gate_asks_for_quality_and_length() -> None:
    assert compared(make_run(50, {"hybrid": right})).gate.verdict == "meets"
    few = compared(make_run(49, {"hybrid": right})).gate
    assert (few.verdict, few.deciding_n) == ("undecided", 50)  # too few to promise anything
    comparison = compared(make_run(60))
    assert comparison.gate.verdict == "misses"
    assert comparison.gate.quality.high < 0.99
    assert comparison.gate.length == comparison.length_ratio
    # Better than a poor baseline, but far shorter.
    short = make_run(8, {"llm": lambda i, r: f"x {i} y z " * 6, "hybrid": lambda i, r: reference(i)[:-3]})
    gate = compared(short).gate
    assert gate.quality.low > 1
    assert gate.length.high < 0.9
    assert gate.verdict == "misses"


def test_the_gates_interval_is_that_of_the_ratio() -> None:
    """Computed from the scores of the same resamples, one by one."""
    comparison, counts = compared(make_run(30)), DRAWS.counts(30)
    scores = []
    for text in (worse, right):
        rows = np.array([METRICS["bleu"].statistics(Case(text(i), [reference(i)])) for i in range(30)])
        scores.append(np.array([METRICS["bleu"].score(row @ rows, 30) for row in counts.astype(float)]))
    low, high = np.percentile(scores[0] / scores[1], (2.5, 97.5))
    assert (comparison.gate.quality.low, comparison.gate.quality.high) == pytest.approx((low, high))


def test_few_examples_decide_nothing() -> None:
    comparison = compared(make_run(5, {"hybrid": lambda i, r: "Nichts davon."}))
    assert comparison.gate.verdict == "undecided"
    assert not any(difference.decided for difference in comparison.differences.values())
    assert compared(make_run(6, {"hybrid": lambda i, r: "Nichts davon."})).gate.verdict == "misses"


def test_no_gate_over_a_baseline_without_quality() -> None:
    comparison = compared(make_run(5, {"llm": lambda i, r: "x"}))
    assert comparison.gate is None
    assert comparison.differences["bleu"].baseline == 0
    assert compared(make_run(5, {"llm": lambda i, r: ""})).length_ratio is None


@pytest.mark.parametrize(
    ("higher", "system", "baseline", "ratio"),
    [(True, 30.0, 40.0, 0.75), (False, 80.0, 60.0, 0.75), (False, 60.0, 80.0, 4 / 3), (True, 3.0, 0.0, None)],
)
def test_quality_ratio(higher: bool, system: float, baseline: float, ratio: float | None) -> None:
    assert quality_ratio(higher, system, baseline) == (ratio and pytest.approx(ratio))


def test_medians_agree_with_a_direct_computation() -> None:
    draw = np.random.default_rng(0)
    own_run, base_run = draw.random((30, 3)) + 0.5, draw.random((30, 3)) + 1
    stored = make_run(
        30, seconds={"hybrid": lambda i, r: own_run[i, r], "llm": lambda i, r: base_run[i, r]}, repeats=3
    )
    expected = statistics.median(np.median(base_run, axis=1) / np.median(own_run, axis=1))
    assert compared(stored).speedups["end_to_end"].value == pytest.approx(expected)
    assert quarter(3) == pytest.approx(slow(3) / 4)
