"""The sentences that were written for training: whole, each there once, and far from every bundled suite."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hybrid.schema import TASKS
from hybrid.suites import bundled_suites, is_bundled, load_suite
from hybrid.training.corpora import Corpus, read_corpus

PATH = Path(__file__).parents[2] / "hybrid" / "training" / "recipes" / "everyday-en-de.tsv"
ROW = 4  # words in a row that no suite has, too


@pytest.fixture(scope="module")
def rows() -> list[tuple[str, str, str]]:
    return list(read_corpus(Corpus(str(PATH), "translate-en-de")))


def normal(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def runs_of(text: str) -> Iterator[tuple[str, ...]]:
    words = normal(text)
    return (tuple(words[at : at + ROW]) for at in range(len(words) - ROW + 1))


def test_every_row_is_read_as_a_topic_and_two_sentences(rows: list[tuple[str, str, str]]) -> None:
    assert len(rows) == len(PATH.read_text("utf-8").splitlines()) - 1
    for topic, english, german in rows:
        assert topic
        assert english[-1] in ".!?", english
        assert german[-1] in ".!?", german


def test_no_sentence_is_there_twice(rows: list[tuple[str, str, str]]) -> None:
    assert len({tuple(normal(english)) for _, english, _ in rows}) == len(rows)


def test_no_suite_has_four_words_in_a_row_of_them(rows: list[tuple[str, str, str]]) -> None:
    names = [f"{name}@{version}" for name in bundled_suites() for version in (1, 2)]
    suites = [load_suite(name) for name in names if is_bundled(name)]
    assert len(suites) >= 2 * len(bundled_suites()) - 1
    translations = [suite for suite in suites if TASKS[suite.task].kind == "translation"]
    tested = {run for suite in translations for example in suite.examples for run in runs_of(example.source)}
    assert not [english for _, english, _ in rows if tested & set(runs_of(english))]
