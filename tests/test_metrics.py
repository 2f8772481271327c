"""Scores are sacrebleu's and rouge-score's own, and two are checked by hand."""

import math

import pytest
import sacrebleu
from rouge_score import rouge_scorer

from hybrid.errors import InputError
from hybrid.metrics import Score, bleu, chrf, rouge_l

MADE = [
    "Das alte Haus am Fluss ist sehr groß.",
    "Viele Leute wohnen seit Jahren dort.",
    "Der Ausschuss stimmte der Brücke zu.",
]
WANTED = [
    "Das alte Haus am Fluss ist groß.",
    "Viele Leute wohnen dort seit Jahren.",
    "Der Ausschuss war sich einig, dass die Brücke eröffnet wird.",
]


@pytest.mark.parametrize(
    ("ours", "theirs"), [(bleu, sacrebleu.corpus_bleu), (chrf, sacrebleu.corpus_chrf)], ids=["bleu", "chrf"]
)
def test_corpus_scores_are_sacrebleus(ours, theirs) -> None:
    score = ours(MADE, WANTED)
    assert score.value == pytest.approx(theirs(MADE, [WANTED]).score, abs=1e-9)
    assert 10 < score.value < 90
    assert score.n == 3
    assert ours(WANTED, WANTED).value == pytest.approx(100)


def test_bleu_by_hand() -> None:
    # All n-grams match, 6 words for 7: only the brevity penalty remains.
    score = bleu(["the cat sat on the mat"], ["the cat sat on the mat today"])
    assert score.value == pytest.approx(100 * math.exp(1 - 7 / 6), abs=1e-9)


def test_rouge_l_by_hand() -> None:
    # Longest common subsequences: "a c d", 3 of 4 and 4 words; none; all.
    score = rouge_l(["a b c d", "x", "so it is"], [["a c d e"], ["y"], ["so it is"]])
    assert score.value == pytest.approx(100 * (0.75 + 0 + 1) / 3)


def test_rouge_l_is_the_mean_of_rouge_scores() -> None:
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    values = [scorer.score(w, m)["rougeL"].fmeasure for m, w in zip(MADE, WANTED, strict=True)]
    score = rouge_l(MADE, [[w] for w in WANTED])
    assert score.value == pytest.approx(100 * sum(values) / 3, abs=1e-9)
    assert len(set(values)) == 3


def test_the_best_of_several_references_counts() -> None:
    far, near = "entirely different words", "the old house stands here"
    made = ["the old house stands"]
    best = rouge_l(made, [[far, near]]).value
    assert best == rouge_l(made, [[near, far]]).value == rouge_l(made, [[near]]).value
    assert best > rouge_l(made, [[far]]).value


def test_stemming_is_off() -> None:
    assert rouge_l(["houses"], [["house"]]).value == 0


@pytest.mark.parametrize(
    ("score", "name", "parts"),
    [
        (bleu(MADE, WANTED), "BLEU", ("nrefs:1", "tok:13a", "smooth:exp", sacrebleu.__version__)),
        (chrf(MADE, WANTED), "chrF2", ("nrefs:1", "nc:6", "nw:0", sacrebleu.__version__)),
        (rouge_l(MADE, [[w] for w in WANTED]), "ROUGE-L", ("rouge-score:0.1.2", "F1", "stem:no")),
    ],
    ids=["bleu", "chrf", "rouge_l"],
)
def test_a_score_says_how_it_was_computed(score: Score, name: str, parts: tuple[str, ...]) -> None:
    assert score.name == name
    for part in parts:
        assert part in score.signature


@pytest.mark.parametrize("metric", [bleu, chrf, rouge_l])
@pytest.mark.parametrize(("made", "wanted"), [([], []), (["a"], []), (["a", "b"], ["a"])])
def test_nothing_or_unequal_lists_are_refused(metric, made: list[str], wanted: list[str]) -> None:
    with pytest.raises(InputError, match=f"{len(made)} outputs and {len(wanted)} references"):
        metric(made, wanted)
