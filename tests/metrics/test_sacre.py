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
from hybrid.metrics import METRICS, score, score_alone

THEIRS = {"bleu": BLEU, "chrf": CHRF, "ter": TER}
TEXT = "das alte Haus am Fluss ist sehr groß , und viele Leute wohnen dort seit Jahren . Der 3,5 % &amp;"
WORDS = TEXT.split()


def corpus(n: int, references: int, seed: int) -> tuple[list[str], list[list[str]]]:
    """n random texts of 0 to 12 words, and references that share words and order with them."""
    draw = random.Random(seed)
    made, wanted = [], []
    for _ in range(n):
        words = draw.choices(WORDS, k=draw.randint(0, 12))
        made.append(" ".join(words))
        row = []
        for _ in range(references):
            kept = [word for word in words if draw.random() < 0.8]
            at = draw.randint(0, len(kept))
            row.append(" ".join(kept[at:] + kept[:at] + draw.choices(WORDS, k=draw.randint(1, 3))))
        wanted.append(row)
    return made, wanted


def theirs(name: str, made: list[str], wanted: list[list[str]]) -> float:
    return THEIRS[name]().corpus_score(made, [list(column) for column in zip(*wanted, strict=True)]).score


@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.parametrize("references", [1, 3])
def test_corpus_scores(name: str, references: int) -> None:
    made, wanted = corpus(60, references, seed=references)
    found = score(name, made, wanted)
    assert found.value == pytest.approx(theirs(name, made, wanted), abs=1e-9)
    assert 5 < found.value < 95


@pytest.mark.parametrize("name", THEIRS)
def test_every_resample_of_summed_statistics(name: str) -> None:
    made, wanted = corpus(12, 2, seed=5)
    rows = np.array([METRICS[name].statistics(*pair) for pair in zip(made, wanted, strict=True)])
    chosen = np.random.default_rng(0).integers(0, 12, size=(20, 12))
    values = METRICS[name].score(rows[chosen].sum(axis=1), 12)
    for row, value in zip(chosen, values, strict=True):
        assert value == pytest.approx(
            theirs(name, [made[i] for i in row], [wanted[i] for i in row]), abs=1e-9
        )


@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.parametrize(
    ("made", "wanted"),
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
def test_one_example_and_empty_texts(name: str, made: str, wanted: str) -> None:
    assert score(name, [made], [[wanted]]).value == pytest.approx(theirs(name, [made], [[wanted]]), abs=1e-9)


@pytest.mark.parametrize("references", [1, 2])
def test_answers_that_stand_alone_have_sacrebleus_sentence_scores(references: int) -> None:
    made, wanted = corpus(80, references, seed=references)
    made, wanted = [*made, "Ja.", "Jetzt speichern.", ""], [*wanted, ["Ja."], ["Jetzt speichern."], ["Ja."]]
    judges = {"bleu": BLEU(effective_order=True), "chrf": CHRF(), "ter": TER()}
    for name, judge in judges.items():
        metric = METRICS[name]
        expected = [judge.sentence_score(*pair).score for pair in zip(made, wanted, strict=True)]
        together = metric.of_each([metric.statistics(*pair) for pair in zip(made, wanted, strict=True)])
        assert together.tolist() == pytest.approx([round(value, 4) for value in expected], abs=1e-4)
        alone = score_alone(name, made[0], wanted[0])
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
    made, wanted = corpus(20, 2, seed=9)
    columns = [[row[0] for row in wanted], [row[1] if i % 2 else None for i, row in enumerate(wanted)]]
    ours = [row if i % 2 else row[:1] for i, row in enumerate(wanted)]
    for name, metric in THEIRS.items():
        found, reference = score(name, made, ours), metric()
        assert found.value == pytest.approx(reference.corpus_score(made, columns).score, abs=1e-9)
        assert found.signature == str(reference.get_signature())


@pytest.mark.parametrize("references", [1, 2])
def test_the_sacrebleu_command_prints_the_same_on_files(tmp_path: Path, references: int) -> None:
    made, wanted = corpus(80, references, seed=20 + references)
    files = [tmp_path / "made", *(tmp_path / f"wanted{i}" for i in range(references))]
    for file, lines in zip(files, [made, *zip(*wanted, strict=True)], strict=True):
        file.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    command = [sys.executable, "-m", "sacrebleu", *files[1:], "-i", files[0], "-m", *THEIRS, "-w", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for name, printed in zip(THEIRS, json.loads(done.stdout), strict=True):
        found = score(name, made, wanted)
        assert round(found.value, 2) == printed["score"]
        assert found.signature == printed["signature"]


def test_bleu_by_hand() -> None:
    # All n-grams match, 6 words for 7: only the brevity penalty remains.
    found = score("bleu", ["the cat sat on the mat"], [["the cat sat on the mat today"]])
    assert found.value == pytest.approx(100 * math.exp(1 - 7 / 6), abs=1e-9)


def test_length_ratio_is_sacrebleus() -> None:
    made, wanted = corpus(40, 2, seed=3)
    result = BLEU().corpus_score(made, [list(column) for column in zip(*wanted, strict=True)])
    assert score("length", made, wanted).value == pytest.approx(result.sys_len / result.ref_len)
    assert score("length", ["a b c."], [["a b c d e f g."]]).value == pytest.approx(4 / 8)
    assert score("length", ["a b"], [[""]]).value == 0
