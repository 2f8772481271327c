"""The repetition rate, counted by hand and in the plainest way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid.metrics import METRICS, Case, score
from tests.any_machine import STEADY

METRIC = METRICS["repetition"]
ONCE = "the old house by the river is old"
TWICE = "a b c d a b c d a b c d"  # 9 4-grams, 4 of them different


@pytest.mark.parametrize(
    ("answer", "statistics"),
    [
        (TWICE, (5, 9)),
        (ONCE, (0, 5)),
        ("a b c", (0, 0)),
        ("", (0, 0)),
        ("no " * 7, (3, 4)),
        ("a\tb\n c d", (0, 1)),
    ],
)
def test_counts(answer: str, statistics: tuple[int, int]) -> None:
    assert METRIC.statistics(Case(answer, ["anything"])) == statistics


def test_the_corpus_rate_is_of_summed_counts() -> None:
    answers = [TWICE, ONCE, "a b c"]
    scored = score("repetition", answers, [["x"]] * 3)
    assert (scored.value, scored.n) == (pytest.approx(100 * 5 / 14), 3)
    assert METRIC.of_each([METRIC.statistics(Case(answer, ["x"])) for answer in answers]).tolist() == [
        55.5556,
        0,
        0,
    ]
    assert score("repetition", ["a"], [["x"]]).value == 0


@STEADY
@given(st.lists(st.lists(st.sampled_from("abc"), max_size=30), min_size=1, max_size=5))
def test_it_is_one_minus_unique_over_all(texts: list[list[str]]) -> None:
    grams = [[tuple(words[i : i + 4]) for i in range(max(0, len(words) - 3))] for words in texts]
    total = sum(map(len, grams))
    expected = 100 * (1 - sum(len(set(answer_grams)) for answer_grams in grams) / total) if total else 0
    rows = np.array([METRIC.statistics(Case(" ".join(words), ["x"])) for words in texts])
    assert METRIC.score(rows.sum(axis=0), len(rows)) == pytest.approx(expected)
