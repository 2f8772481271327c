"""ROUGE is rouge-score's own, and some are checked by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer
from rouge_score.tokenize import tokenize as rouge_score_words

from hybrid.metrics import METRICS, Case, score
from hybrid.metrics.rouge import UnicodeWords
from tests.any_machine import STEADY

KINDS = ("rouge1", "rouge2", "rougeL")
MADE = [
    "The council will close the old baths for seven weeks.",
    "Swimmers must wait until March, the head of leisure said.",
    "",
    "The the the the pool.",
]
WANTED = [
    ["The council closes the baths for seven weeks.", "The old baths will stay shut."],
    ["Swimmers have to wait until 3 March.", "The head of leisure said that swimmers must wait."],
    ["Nothing was decided.", "No."],
    ["The pool reopens.", ""],
]


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_of_rouge_scores(kind: str) -> None:
    scorer = rouge_scorer.RougeScorer([kind], use_stemmer=False)
    values = [scorer.score_multi(w, m)[kind].fmeasure for m, w in zip(MADE, WANTED, strict=True)]
    mean = score(kind, MADE, WANTED)
    assert mean.value == pytest.approx(100 * sum(values) / 4, abs=1e-9)
    assert len(set(values)) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_resamples_are_means(kind: str) -> None:
    rows = np.array([METRICS[kind].statistics(Case(m, w)) for m, w in zip(MADE, WANTED, strict=True)])
    values = METRICS[kind].score(np.array([[0, 3, 0, 1]]) @ rows, 4)
    assert values == pytest.approx(100 * (3 * rows[1] + rows[3]) / 4)


def test_rouge_l_by_hand() -> None:
    # Longest common subsequences: "a c d", 3 of 4 and 4 words; none; all.
    mean = score("rougeL", ["a b c d", "x", "so it is"], [["a c d e"], ["y"], ["so it is"]])
    assert mean.value == pytest.approx(100 * (0.75 + 0 + 1) / 3)


def test_the_best_of_several_references_counts() -> None:
    far, near = "entirely different words", "the old house stands here"
    outputs = ["the old house stands"]
    best = score("rougeL", outputs, [[far, near]]).value
    assert best == score("rougeL", outputs, [[near, far]]).value == score("rougeL", outputs, [[near]]).value
    assert best > score("rougeL", outputs, [[far]]).value


@given(st.text(st.characters(codec="ascii"), max_size=80), st.text("ab c-_'.9Z\n", max_size=80))
@settings(STEADY, max_examples=150)
def test_words_of_ascii_are_those_of_rouge_score(first: str, second: str) -> None:
    for text in (first, second, f"{first} {second}"):
        assert UnicodeWords().tokenize(text) == rouge_score_words(text, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Собака быстро бежит через парк.", ["собака", "быстро", "бежит", "через", "парк"]),
        ("Das Café ist „groß“.", ["das", "café", "ist", "groß"]),
        ("Das Cafe\u0301", ["das", "café"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("don’t snake_case 3½", ["don", "t", "snake", "case", "3½"]),
    ],
)
def test_words_of_any_script(text: str, words: list[str]) -> None:
    assert UnicodeWords().tokenize(text) == words


@pytest.mark.parametrize("kind", KINDS)
def test_texts_beyond_ascii_are_scored(kind: str) -> None:
    reference = ["Собака быстро бежит через большой парк."]
    assert score(kind, reference, [reference]).value == pytest.approx(100)
    assert score(kind, ["Кошка спит."], [reference]).value == 0
    assert score("rouge1", ["Собака спит."], [reference]).value == pytest.approx(100 * 2 / 8)


def test_stemming_is_off() -> None:
    assert score("rougeL", ["houses"], [["house"]]).value == 0


def test_the_signature() -> None:
    for part in ("nrefs:2", "rougeL", "F1", "stem:no", "refs:best", "tok:unicode", "rouge-score:0.1.2"):
        assert part in score("rougeL", MADE, WANTED).signature.split("|")
