"""Bins of equally many examples, and paired ratios that pandas finds, too."""

import itertools

import numpy as np
import pandas as pd
import pytest

from hybrid.compare.bootstrap import Resamples
from hybrid.presentation.views.tradeoffs.break_even import break_even
from hybrid.presentation.views.tradeoffs.lengths import LEAST, MOST_BINS, bins, by_length


@pytest.mark.parametrize("n", [0, 1, 9, 10, 19, 20, 27, 81, 270, 1000])
@pytest.mark.parametrize("longest", [1, 3, 12, 500])
def test_bins_hold_every_example_once_and_enough_of_them(n: int, longest: int):
    lengths = np.random.default_rng(n + longest).integers(1, longest + 1, n).astype(float)
    found = list(bins(lengths))
    assert len(found) <= min(MOST_BINS, n // LEAST)
    assert bool(found) == (n >= LEAST)
    if found:
        assert sorted(np.concatenate(found).tolist()) == list(range(n))
        assert min(map(len, found)) >= LEAST
        ends = [(lengths[part].min(), lengths[part].max()) for part in found]
        assert all(one[1] < other[0] for one, other in itertools.pairwise(ends))


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
    return pd.DataFrame(rows, columns=columns).astype({"system": "category"})


def test_ratios_are_paired_and_lengths_are_the_llms():
    answers = frame()
    found = by_length(answers, Resamples(200))["hybrid"]
    means = answers.groupby(["system", "example_id"], observed=True)["total_ms"].median()
    ratio = means["llm"] / means["hybrid"]
    tokens = answers[answers["system"] == "llm"].groupby("example_id")["output_tokens"].first()
    for part in found["output"].bins:
        inside = ratio[tokens.between(part.shortest, part.longest)]
        assert part.ratio.value == pytest.approx(inside.median())
        assert part.ratio.n == len(inside) == 10
        assert part.ratio.low <= part.ratio.value <= part.ratio.high
        assert inside.min() <= part.ratio.low
        assert part.middle == tokens[inside.index].median()
    assert [part.shortest for part in found["output"].bins] == [2, 12, 22, 32]
    assert [part.shortest for part in found["input"].bins] == [100, 120, 140, 160]
    even = found["output"].break_even
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
    found = by_length(pd.DataFrame(rows, columns=columns), Resamples(200))["slm"]["output"]
    assert found.bins[0].ratio.high < 1
    assert found.break_even.kind == "unclear"
