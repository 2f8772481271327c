"""BLEU, chrF, TER and lengths are sacrebleu's own: its API, its command, and a few by hand."""

import json
import math
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF, TER

from hybrid.errors import InputError
from hybrid.metrics import METRICS, Case, score, score_alone

THEIRS = {"bleu": BLEU, "chrf": CHRF, "ter": TER}
TEXT = "das alte Haus am Fluss ist sehr groß , und viele Leute wohnen dort seit Jahren . Der 3,5 % &amp;"
WORDS = TEXT.split()


def corpus(n: int, references: int, seed: int) -> tuple[list[str], list[list[str]]]:
    """n random texts of 0 to 12 words, and references that share words and order with them."""
    draw = random.Random(seed)
    outputs, all_references = [], []
    for _ in range(n):
        words = draw.choices(WORDS, k=draw.randint(0, 12))
        outputs.append(" ".join(words))
        row = []
        for _ in range(references):
            words_left = [word for word in words if draw.random() < 0.8]
            at = draw.randint(0, len(words_left))
            row.append(
                " ".join(words_left[at:] + words_left[:at] + draw.choices(WORDS, k=draw.randint(1, 3)))
            )
        all_references.append(row)
    return outputs, all_references


def sacrebleu_score(name: str, outputs: list[str], all_references: list[list[str]]) -> float:
    return (
        THEIRS[name]()
        .corpus_score(outputs, [list(column) for column in zip(*all_references, strict=True)])
        .score
    )


@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.parametrize("references", [1, 3])
def test_corpus_scores(name: str, references: int) -> None:
    outputs, all_references = corpus(60, references, seed=references)
    corpus_score = score(name, outputs, all_references)
    assert corpus_score.value == pytest.approx(sacrebleu_score(name, outputs, all_references), abs=1e-9)
    assert 5 < corpus_score.value < 95


@pytest.mark.parametrize("name", THEIRS)
def test_every_resample_of_summed_statistics(name: str) -> None:
    outputs, all_references = corpus(12, 2, seed=5)
    rows = np.array(
        [METRICS[name].statistics(Case(*pair)) for pair in zip(outputs, all_references, strict=True)]
    )
    chosen = np.random.default_rng(0).integers(0, 12, size=(20, 12))
    values = METRICS[name].score(rows[chosen].sum(axis=1), 12)
    for row, value in zip(chosen, values, strict=True):
        assert value == pytest.approx(
            sacrebleu_score(name, [outputs[i] for i in row], [all_references[i] for i in row]), abs=1e-9
        )


@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.parametrize(
    ("output", "reference"),
    [
        ("", "a b c d e"),
        ("a b c d e", ""),
        ("", ""),
        ("a", "a"),
        ("a b", "a b"),
        ("a b c d", "a b c d"),
        ("a b c d e", "a b x d e"),
        ("a b c d e", "v w x y z"),
        ("a b c d e f", "a x b y c z"),
        ("  a b c d ", "a b c d"),
        ("a b c\nd e", "a b c d e"),
    ],
)
def test_one_example_and_empty_texts(name: str, output: str, reference: str) -> None:
    assert score(name, [output], [[reference]]).value == pytest.approx(
        sacrebleu_score(name, [output], [[reference]]), abs=1e-9
    )


@pytest.mark.parametrize("references", [1, 2])
def test_answers_that_stand_alone_have_sacrebleus_sentence_scores(references: int) -> None:
    outputs, all_references = corpus(80, references, seed=references)
    outputs, all_references = (
        [*outputs, "Ja.", "Jetzt speichern.", ""],
        [*all_references, ["Ja."], ["Jetzt speichern."], ["Ja."]],
    )
    judges = {"bleu": BLEU(effective_order=True), "chrf": CHRF(), "ter": TER()}
    for name, judge in judges.items():
        metric = METRICS[name]
        expected = [judge.sentence_score(*pair).score for pair in zip(outputs, all_references, strict=True)]
        together = metric.of_each(
            [metric.statistics(Case(*pair)) for pair in zip(outputs, all_references, strict=True)]
        )
        assert together.tolist() == pytest.approx([round(value, 4) for value in expected], abs=1e-4)
        alone = score_alone(name, outputs[0], all_references[0])
        assert (alone.value, alone.n) == (pytest.approx(expected[0], abs=1e-9), 1)
    assert score_alone("bleu", "Jetzt speichern.", ["Jetzt speichern."]).value == pytest.approx(100)
    assert score("bleu", ["Jetzt speichern."], [["Jetzt speichern."]]).value == 0  # sacrebleu's default


def test_the_signature_of_an_answer_alone_is_sacrebleus() -> None:
    judge = BLEU(effective_order=True)
    judge.sentence_score("Ja.", ["Ja."])
    assert score_alone("bleu", "Ja.", ["Ja."]).signature == str(judge.get_signature())
    assert score("bleu", ["Ja."], [["Ja."]]).signature != str(judge.get_signature())
    with pytest.raises(InputError, match="without a reference"):
        score_alone("bleu", "Ja.", [])


def test_numbers_of_references_may_vary() -> None:
    outputs, all_references = corpus(20, 2, seed=9)
    columns = [
        [row[0] for row in all_references],
        [row[1] if i % 2 else None for i, row in enumerate(all_references)],
    ]
    some_references = [row if i % 2 else row[:1] for i, row in enumerate(all_references)]
    for name, metric in THEIRS.items():
        corpus_score, reference = score(name, outputs, some_references), metric()
        assert corpus_score.value == pytest.approx(reference.corpus_score(outputs, columns).score, abs=1e-9)
        assert corpus_score.signature == str(reference.get_signature())


@pytest.mark.parametrize("references", [1, 2])
def test_the_sacrebleu_command_prints_the_same_on_files(tmp_path: Path, references: int) -> None:
    outputs, all_references = corpus(80, references, seed=20 + references)
    files = [tmp_path / "made", *(tmp_path / f"wanted{i}" for i in range(references))]
    for file, lines in zip(files, [outputs, *zip(*all_references, strict=True)], strict=True):
        file.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    command = [sys.executable, "-m", "sacrebleu", *files[1:], "-i", files[0], "-m", *THEIRS, "-w", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for name, printed in zip(THEIRS, json.loads(done.stdout), strict=True):
        corpus_score = score(name, outputs, all_references)
        assert round(corpus_score.value, 2) == printed["score"]
        assert corpus_score.signature == printed["signature"]


def test_bleu_by_hand() -> None:
    # All n-grams match, 6 words for 7: only the brevity penalty remains.
    corpus_score = score("bleu", ["the cat sat on the mat"], [["the cat sat on the mat today"]])
    assert corpus_score.value == pytest.approx(100 * math.exp(1 - 7 / 6), abs=1e-9)


def test_length_ratio_is_sacrebleus() -> None:
    outputs, all_references = corpus(40, 2, seed=3)
    result = BLEU().corpus_score(outputs, [list(column) for column in zip(*all_references, strict=True)])
    assert score("length", outputs, all_references).value == pytest.approx(result.sys_len / result.ref_len)
    assert score("length", ["a b c."], [["a b c d e f g."]]).value == pytest.approx(4 / 8)
    assert score("length", ["a b"], [[""]]).value == 0
