"""Answers against a reference, as hybrid.metrics scores them."""

import pytest

from hybrid.live.scoring import in_words, labels, scores
from hybrid.metrics import score
from hybrid.schema import TASKS


@pytest.mark.parametrize(
    ("task", "metrics"), [("translate-en-de", ["chrf", "bleu"]), ("summarize", ["rougeL"])]
)
def test_scores_are_those_of_the_metrics(task, metrics):
    found = scores(task, ["the old bridge is open"], ["the new bridge is open"])
    expected = [score(name, ["the old bridge is open"], [["the new bridge is open"]]) for name in metrics]
    assert list(found.values()) == expected
    assert tuple(found) == labels(task)
    assert in_words(found).startswith(f"{labels(task)[0]} {expected[0].value:.1f}")


def test_every_task_is_judged_and_nothing_scores_nothing():
    assert all(labels(task) for task in TASKS)
    assert scores("summarize", [], []) == {}
    assert scores("unheard-of", ["a"], ["a"]) == {}
