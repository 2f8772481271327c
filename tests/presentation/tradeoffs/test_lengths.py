"""Bins of equally many examples, paired ratios as pandas finds them, and known crossings."""

import itertools

import numpy as np
import pandas as pd
import pytest

from hybrid.compare.bootstrap import Resamples
from hybrid.presentation.tradeoffs.lengths import LEAST, MOST_BINS, bins, break_even, by_length


@pytest.mark.parametrize("n", [0, 1, 9, 10, 19, 20, 27, 81, 270, 1000])
@pytest.mark.parametrize("longest", [1, 3, 12, 500])
def test_bins_hold_every_example_once_and_enough_of_them(n: int, longest: int):
    lengths = np.random.default_rng(n + longest).integers(1, longest + 1, n).astype(float)
    parts = list(bins(lengths))
    assert len(parts) <= min(MOST_BINS, n // LEAST)
    assert bool(parts) == (n >= LEAST)
    if parts:
        assert sorted(np.concatenate(parts).tolist()) == list(range(n))
        assert min(map(len, parts)) >= LEAST
        ends = [(lengths[part].min(), lengths[part].max()) for part in parts]
        assert all(below[1] < above[0] for below, above in itertools.pairwise(ends))


def test_bins_of_different_lengths_are_of_equal_size():
    assert [len(part) for part in bins(np.arange(1000.0))] == [125] * 8
    assert [len(part) for part in bins(np.arange(25.0))] == [12, 13]


def frame(n: int = 40, repeats: int = 2) -> pd.DataFrame:
    """The hybrid takes 10 ms and 1 ms a token, the LLM 3 ms a token: equal at 5 tokens of answer."""
    rows = []
    for i in range(n):
        tokens = 2 + i
        for repeat in range(repeats):
            for system, took in (("llm", 3.0 * tokens), ("hybrid", 10.0 + tokens)):
                own = tokens if system == "llm" else 7
                rows.append((f"e{i}", system, repeat, 100 + 2 * i, own, took + 0.01 * repeat))
    columns = ["example_id", "system", "repeat", "prompt_tokens", "output_tokens", "total_ms"]
    return pd.DataFrame(rows, columns=columns).astype({"system": "category"}).assign(block=0)


def test_ratios_are_paired_and_lengths_are_the_llms():
    answers = frame()
    hybrid = by_length(answers, Resamples(200))["hybrid"]
    means = answers.groupby(["system", "example_id"], observed=True)["total_ms"].median()
    ratio = means["llm"] / means["hybrid"]
    tokens = answers[answers["system"] == "llm"].groupby("example_id")["output_tokens"].first()
    for part in hybrid["output"].bins:
        inside = ratio[tokens.between(part.shortest, part.longest)]
        assert part.ratio.value == pytest.approx(inside.median())
        assert part.ratio.n == len(inside) == 10
        assert part.ratio.low <= part.ratio.value <= part.ratio.high
        assert inside.min() <= part.ratio.low
        assert part.middle == tokens[inside.index].median()
    assert [part.shortest for part in hybrid["output"].bins] == [2, 12, 22, 32]
    assert [part.shortest for part in hybrid["input"].bins] == [100, 120, 140, 160]
    even = hybrid["output"].break_even
    assert even.kind == "from"
    assert even.at is not None
    assert even.at.value == pytest.approx(5)


def test_examples_without_a_pair_and_systems_without_any_are_left_out():
    answers = frame()
    few = answers[(answers["system"] == "llm") | ~answers["example_id"].isin([f"e{i}" for i in range(25)])]
    assert sum(part.ratio.n for part in by_length(few, Resamples(50))["hybrid"]["output"].bins) == 15
    none = answers[(answers["system"] == "llm") == (answers["example_id"] < "e2")]
    assert by_length(none, Resamples(50)) == {}
    assert by_length(answers[answers["system"] == "hybrid"], Resamples(50)) == {}


def test_a_bin_that_is_decidedly_slower_forbids_to_say_faster_at_every_length():
    lengths = np.arange(60)
    own = np.where(lengths < 10, 101.0, 40.0)  # a step, which no straight line describes
    assert break_even(lengths + 10.0, 100.0 - own, Resamples(200)).kind == "faster"
    rows = [
        (f"e{i}", system, 0, 5, 10 + i, took[i])
        for i in lengths
        for system, took in (("llm", np.full(60, 100.0)), ("slm", own))
    ]
    columns = ["example_id", "system", "repeat", "prompt_tokens", "output_tokens", "total_ms"]
    by_output = by_length(pd.DataFrame(rows, columns=columns).assign(block=0), Resamples(200))["slm"][
        "output"
    ]
    assert by_output.bins[0].ratio.high < 1
    assert by_output.break_even.kind == "unclear"


def around(
    slope: float, crossing: float, noise: float, n: int = 80, seed: int = 1, low: int = 5, high: int = 60
):
    """Lengths and gains on a line with normal noise."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(low, high + 1, n).astype(float)
    lengths[:2] = low, high
    return lengths, slope * (lengths - crossing) + draw.normal(0, noise, n)


@pytest.mark.parametrize(
    ("slope", "kind", "words"), [(2.0, "from", " on "), (-2.0, "up to", "faster up to ")]
)
def test_a_known_crossing_is_found_with_an_interval_around_it(slope: float, kind: str, words: str):
    lengths, gains = around(slope, 20, noise=8)
    even = break_even(lengths, gains, Resamples())
    a, b = np.polyfit(lengths, gains, 1)
    assert even.kind == kind
    assert even.at is not None
    assert even.at.value == pytest.approx(-b / a)
    assert even.at.low < 20 < even.at.high
    assert even.at.high - even.at.low < 6
    assert (even.shortest, even.longest, even.n) == (5, 60, 80)
    assert words in even.sentence
    assert "5 to 60 tokens" in even.sentence


def test_without_noise_the_crossing_is_exact():
    lengths, gains = around(0.5, 31.5, noise=0)
    at = break_even(lengths, gains, Resamples(200)).at
    assert at is not None
    assert (at.value, at.low, at.high) == pytest.approx((31.5, 31.5, 31.5))


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    draws, held = Resamples(300), 0
    for seed in range(150):
        at = break_even(*around(1.0, 25, noise=12, n=50, seed=seed), draws).at
        held += at is not None and at.low <= 25 <= at.high
    assert 0.87 <= held / 150 <= 0.99


@pytest.mark.parametrize(("sign", "kind"), [(1, "faster"), (-1, "slower")])
def test_a_line_far_from_0_everywhere_has_no_break_even(sign: int, kind: str):
    lengths, gains = around(1.0, -200, noise=5)
    even = break_even(lengths, sign * gains, Resamples())
    assert (even.kind, even.at) == (kind, None)
    assert even.sentence == f"{kind} at every measured length (5 to 60 tokens)"


def test_a_crossing_just_outside_is_told_as_outside():
    lengths, gains = around(2.0, 8, noise=1, low=10)
    even = break_even(lengths, gains, Resamples())
    assert even.kind == "faster"
    assert even.at is not None
    assert even.at.value == pytest.approx(8, abs=0.5)
    assert "the line would cross at about 8 tokens" in even.sentence
    assert "cross" not in even.short


def test_two_systems_that_do_not_differ_have_no_break_even_length():
    lengths, gains = around(0.0, 0, noise=5)
    assert break_even(lengths, gains, Resamples()).kind == "unclear"


def test_too_few_examples_or_one_length_carry_no_line():
    lengths, gains = around(2.0, 20, noise=0, n=LEAST - 1)
    few = break_even(lengths, gains, Resamples(50))
    assert (few.kind, few.at) == ("unknown", None)
    assert "9 examples" in few.sentence
    same = break_even(np.full(30, 32.0), np.arange(30.0), Resamples(50))
    assert same.kind == "unknown"
    assert "all lengths are 32 tokens" in same.sentence
    none = break_even(np.array([]), np.array([]), Resamples(50))
    assert (none.kind, none.n) == ("unknown", 0)


def test_bins_of_several_blocks_hold_what_changes_between_them() -> None:
    """Systems are twice as far apart in the second block."""
    rows = [
        (f"e{i}", system, 0, 5, 10 + i, took, i % 2)
        for i in range(60)
        for system, took in (("llm", 100.0 * (1 + i % 2)), ("slm", 50.0))
    ]
    columns = ["example_id", "system", "repeat", "prompt_tokens", "output_tokens", "total_ms", "block"]
    apart = by_length(pd.DataFrame(rows, columns=columns), Resamples(50))["slm"]["output"].bins
    assert all(part.ratio.low is not None and part.ratio.low < 2 and part.ratio.high > 4 for part in apart)
