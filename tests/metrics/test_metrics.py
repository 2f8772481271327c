"""Scores carry their signature; what is stored of each answer is enough to score any subset again."""

import numpy as np
import pytest

from hybrid.errors import InputError
from hybrid.metrics import (
    METRICS,
    Case,
    default_metrics,
    main_metric,
    metric_of,
    metrics_of,
    score,
    signatures_of,
    statistics_of,
)
from hybrid.schema import TASKS, Task, task_named

MADE = [
    "Das alte Haus am Fluss ist sehr groß.",
    "Viele Leute wohnen seit Jahren dort.",
    "Der Ausschuss stimmte der Brücke zu.",
]
WANTED = [
    ["Das alte Haus am Fluss ist groß."],
    ["Viele Leute wohnen dort seit Jahren."],
    ["Der Ausschuss war sich einig, dass die Brücke eröffnet wird."],
]

OF_REFERENCES = ("bleu", "chrf", "ter", "rougeL", "rouge1", "rouge2", "length")


@pytest.mark.parametrize("task", TASKS.values())
def test_every_task_has_metrics_and_its_main_one_is_a_quality(task: Task) -> None:
    names = metrics_of(task)
    assert set(names) <= set(METRICS)
    assert METRICS[names[0]].higher_is_better is True
    assert "length" in names


def test_the_main_metrics() -> None:
    assert [main_metric(task).name for task in TASKS.values()] == ["bleu", "rougeL"]
    for task in TASKS.values():
        mains = [name for name in metrics_of(task) if METRICS[name].main]
        assert mains == [main_metric(task).name] == list(metrics_of(task)[:1])


@pytest.mark.parametrize("task", TASKS.values())
def test_stored_statistics_give_the_score_of_any_subset(task: Task) -> None:
    rows = [statistics_of(task, text, references) for text, references in zip(MADE, WANTED, strict=True)]
    for name in default_metrics(task):
        stored = np.array([row[name] for row in rows])
        for subset in ([0, 1, 2], [2], [0, 0, 1]):
            value = METRICS[name].score(stored[subset].sum(axis=0), len(subset))
            again = score(name, [MADE[i] for i in subset], [WANTED[i] for i in subset])
            assert float(value) == pytest.approx(again.value, abs=1e-9)
            assert again.n == len(subset)


@pytest.mark.parametrize("name", METRICS)
def test_values_of_many_sums_are_those_of_each(name: str) -> None:
    metric = METRICS[name]
    assert len(metric.statistics(Case("", [""]))) == metric.width
    rows = np.array(
        [metric.statistics(Case(text, references)) for text, references in zip(MADE, WANTED, strict=True)]
    )
    together = metric.score(np.stack([rows[:2], rows[1:]]), 1)  # (2, 2, k)
    assert together.shape == (2, 2)
    assert together[1, 1] == metric.score(rows[2], 1)
    assert np.isfinite(together).all()


@pytest.mark.parametrize("name", OF_REFERENCES)
def test_equal_texts_have_the_best_score(name: str) -> None:
    best = {"ter": 0.0, "length": 1.0}.get(name, 100.0)
    best_score = score(name, [references[0] for references in WANTED], WANTED)
    assert best_score.value == pytest.approx(best)
    assert METRICS[name].higher_is_better is {"ter": False, "length": None}.get(name, True)


@pytest.mark.parametrize("name", OF_REFERENCES)
@pytest.mark.parametrize(("counts", "nrefs"), [((1, 1), "1"), ((2, 2), "2"), ((1, 2), "var")])
def test_signatures_say_the_number_of_references(name: str, counts: tuple[int, int], nrefs: str) -> None:
    references = [["so"] * count for count in counts]
    assert f"nrefs:{nrefs}" in score(name, ["so", "so"], references).signature.split("|")


def test_a_run_stores_the_signatures_its_scores_carry() -> None:
    signatures = signatures_of(TASKS["translate-en-de"], WANTED)
    assert signatures == {
        name: score(name, MADE, WANTED).signature for name in default_metrics(TASKS["translate-en-de"])
    }


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize(("outputs", "references"), [([], []), (["a"], []), (["a", "b"], [["a"]])])
def test_nothing_or_unequal_lists_are_refused(
    name: str, outputs: list[str], references: list[list[str]]
) -> None:
    with pytest.raises(InputError, match=f"{len(outputs)} outputs and {len(references)} references"):
        score(name, outputs, references)


def test_an_example_without_references_is_refused() -> None:
    with pytest.raises(InputError, match="without a reference"):
        score("bleu", ["a", "b"], [["a"], []])
    with pytest.raises(InputError, match="without a reference"):
        statistics_of(TASKS["summarize"], "a", [])


def test_unknown_names_are_told_what_there_is() -> None:
    with pytest.raises(InputError, match="no metric 'comet'; available: bleu, chrf"):
        score("comet", ["a"], [["a"]])
    with pytest.raises(InputError, match=r"comet.*bleu"):
        metric_of("comet", TASKS["translate-en-de"])
    with pytest.raises(InputError, match=r"rougeL.*translate-en-de"):
        metric_of("rougeL", TASKS["translate-en-de"])
    assert metric_of("rougeL", TASKS["summarize"]) is METRICS["rougeL"]


def test_the_name_of_a_task_says_how_it_is_judged() -> None:
    assert default_metrics(task_named("translate-fr-pt-formal")) == default_metrics(TASKS["translate-en-de"])
    for name in ("simplify", "translate", "translate-en-en", "translate-en"):
        assert default_metrics(task_named(name)) == default_metrics(TASKS["summarize"])


def test_an_answer_too_long_for_a_metric_has_the_others() -> None:
    rows = statistics_of(TASKS["translate-en-de"], "Wort " * 600, ["Ein Wort."])
    assert set(rows) == set(default_metrics(TASKS["translate-en-de"])) - {"ter"}
