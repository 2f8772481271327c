"""The best evidence of a task: which run, whose facts, which words."""

import dataclasses
from pathlib import Path

import pytest

from hybrid.metrics import METRICS
from hybrid.presentation.runs.catalog import catalog
from hybrid.presentation.runs.digest import Headline, headlines, run_digest
from hybrid.presentation.runs.evidence import SystemFacts, best_evidence, in_words, side_by_side, table
from hybrid.schema import System
from tests.made_runs import store_run

COUNTS = {"llm": 49_000_000, "slm": 6_000_000, "hybrid": 6_200_000}


def headlines_of(root: Path) -> list[Headline]:
    return headlines(catalog(root).entries, lambda run_id: run_digest(run_id, root))


def test_it_is_the_run_of_most_examples_of_each_task(tmp_path: Path):
    store_run(tmp_path, 0, examples=12)
    most = store_run(tmp_path, 1, examples=40, suite="other")
    store_run(tmp_path, 2, examples=20, suite="third")
    summaries = store_run(tmp_path, 3, examples=6, task="summarize", suite="briefs")
    best = best_evidence(headlines_of(tmp_path))
    assert [headline.entry.run_id for headline in best] == [most, summaries]


def test_a_quick_run_stands_behind_a_whole_one(tmp_path: Path):
    store_run(tmp_path, 0, examples=12)
    (headline,) = headlines_of(tmp_path)
    whole = dataclasses.replace(headline, n=150)
    quick = dataclasses.replace(headline, n=99, entry=dataclasses.replace(headline.entry, whole=False))
    assert not whole.quick
    assert quick.quick
    assert best_evidence([quick, whole]) == best_evidence([whole, quick]) == [whole]


def test_the_systems_of_the_runs_own_engine_stand_side_by_side(tmp_path: Path):
    systems = (System("llm"), System("llm", "torch"), System("slm"), System("hybrid"))
    digest = run_digest(store_run(tmp_path, systems=systems), tmp_path)
    facts = side_by_side(digest, COUNTS)
    assert [fact.system for fact in facts] == [System("llm"), System("slm"), System("hybrid")]
    assert [fact.parameters for fact in facts] == list(COUNTS.values())
    assert [fact.reading for fact in facts] == [None, None, COUNTS["llm"]]
    assert facts[0].kept is None
    for fact in facts[1:]:
        row = digest.rows[fact.system]
        assert fact.kept == pytest.approx(float(str(row["bleu"])) / facts[0].score)
        assert fact.speedup == row["speedup_end_to_end"]
    assert table(facts, METRICS["bleu"])["Size"] == ["49M", "6.0M", "49M read, 6.2M write"]


def test_a_pair_that_is_not_here_has_no_parameters(tmp_path: Path):
    facts = side_by_side(run_digest(store_run(tmp_path), tmp_path), {})
    assert set(table(facts, METRICS["bleu"])["Size"]) == {"–"}


@pytest.mark.parametrize(
    ("unbeaten", "words"),
    [
        (
            "",
            "The hybrid answers 3.60 times as fast as the LLM and keeps 97.4 % of its BLEU; the SLM",
        ),
        ("copying the text", "The hybrid is no better than copying the text. The hybrid answers 3.60 times"),
    ],
)
def test_gain_and_rival_are_one_sentence(unbeaten: str, words: str):
    nothing = dict.fromkeys(("parameters", "reading", "total_ms", "score", "memory_bytes"))
    facts = (
        SystemFacts(system=System("llm"), speedup=None, kept=None, **nothing),
        SystemFacts(system=System("slm"), speedup=4.4, kept=None, **nothing),
        SystemFacts(system=System("hybrid"), speedup=3.6, kept=0.974, **nothing),
    )
    assert in_words(facts, METRICS["bleu"], unbeaten).startswith(words)
