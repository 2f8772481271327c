"""The faster TER is sacrebleu's TER, edit for edit, and long garbage costs little time."""

import math
import random
import time

import numpy as np
import pytest
from sacrebleu.metrics.ter import TER

from hybrid.metrics import METRICS, Case
from hybrid.metrics.ter import MOST_WORDS


def statistics(text: str, references: list[str]) -> tuple[float, ...]:
    return METRICS["ter"].statistics(Case(text, references))


def sacrebleu_statistics(text: str, references: list[str]) -> tuple[float, ...]:
    return tuple(TER()._extract_corpus_statistics([text], [[reference] for reference in references])[0])


@pytest.mark.parametrize(("words", "longest", "cases"), [("abcde", 14, 300), ("abc", 24, 100)])
def test_few_words_in_any_order(words: str, longest: int, cases: int) -> None:
    draw = random.Random(0)
    for _ in range(cases):
        text, *references = (
            " ".join(draw.choices(words, k=draw.randint(0, longest))) for _ in range(draw.randint(2, 4))
        )
        assert statistics(text, references) == sacrebleu_statistics(text, references)


def test_sentences_with_parts_moved_dropped_and_reversed() -> None:
    draw = random.Random(1)
    for _ in range(30):
        words = draw.choices([f"w{i}" for i in range(60)], k=draw.randint(15, 40))
        moved = [word for word in words if draw.random() < 0.85]
        for _ in range(2):
            at, size = draw.randrange(len(moved)), draw.randint(1, 6)
            part, rest = moved[at : at + size], moved[:at] + moved[at + size :]
            to = draw.randint(0, len(rest))
            moved = rest[:to] + draw.choice([part, part[::-1]]) + rest[to:]
        assert statistics(" ".join(moved), [" ".join(words)]) == sacrebleu_statistics(
            " ".join(moved), [" ".join(words)]
        )


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("bccbbccbbaaabacbbbacbbbbbccababbbba", "bcccbaaabacabbbbbccababbacbbbbbbcbb"),
        ("baacbbcbabaaccabaacccccbaabcababab", "cabaacccccbaabcacbbbaaacbbabbabaac"),
    ],
)
def test_more_shifts_than_are_tried(text: str, reference: str) -> None:
    # sacrebleu gives up in the middle of a round and does not apply that round's best shift, a good one.
    assert statistics(" ".join(text), [" ".join(reference)]) == sacrebleu_statistics(
        " ".join(text), [" ".join(reference)]
    )


def test_references_many_times_as_long() -> None:
    draw = random.Random(4)
    for _ in range(40):
        text = " ".join(draw.choices("abc", k=2))
        long = " ".join(draw.choices("abcxyz", k=draw.randint(110, 150)))
        assert statistics(text, [long]) == sacrebleu_statistics(text, [long])
        assert statistics(long, [text]) == sacrebleu_statistics(long, [text])


def test_a_shift_by_hand() -> None:
    assert statistics("c d e a b", ["a b c d e"]) == (1, 5)  # one shift instead of four edits
    assert statistics("A B c", ["a b c"]) == (0, 3)  # letters' case does not count


def test_texts_longer_than_the_beam() -> None:
    draw = random.Random(5)
    for _ in range(3):
        words = draw.choices([f"w{i}" for i in range(50)], k=draw.randint(90, 140))
        at = draw.randrange(40)
        moved = [*words[:at], *words[at + 30 : at + 45], *words[at : at + 30], *words[at + 45 :]]
        moved = [word for word in moved if draw.random() < 0.95]
        assert statistics(" ".join(moved), [" ".join(words)]) == sacrebleu_statistics(
            " ".join(moved), [" ".join(words)]
        )


def displaced(words: list[str], count: int) -> list[str]:
    """Move `count` words: each takes a round of shifts."""
    draw, moved = random.Random(6), list(words)
    for _ in range(count):
        word = moved.pop(draw.randrange(len(moved)))
        moved.insert(draw.randrange(len(moved)), word)
    return moved


@pytest.mark.parametrize("length", [128, MOST_WORDS, MOST_WORDS + 1, 5000])
@pytest.mark.parametrize("kind", ["shuffled", "few words", "displaced"])
def test_no_text_takes_long(length: int, kind: str) -> None:
    """Half a second at the most: sacrebleu takes 3 s for 128 shuffled words and 11 s for 512.

    More than MOST_WORDS have no TER.
    """
    draw = random.Random(3)
    words = [f"w{i}" for i in range(60 if kind == "few words" else length)]
    reference = [*words, *draw.choices(words, k=length)][:length]
    text = displaced(reference, 25) if kind == "displaced" else draw.sample(reference, length)
    start = time.process_time()
    edits, _ = statistics(" ".join(text), [" ".join(reference)])
    assert time.process_time() - start < 3  # a slow machine, and a busy one, may take a few times as long
    assert math.isnan(edits) == (length > MOST_WORDS)


def test_an_answer_too_long_for_it_is_stored_without_it() -> None:
    long = "w " * (MOST_WORDS + 1)
    assert not np.isfinite(METRICS["ter"].of_each([statistics(long, ["w"])])).any()
    assert np.isfinite(METRICS["ter"].of_each([statistics("w", ["w"])])).all()
    assert str(MOST_WORDS) in METRICS["ter"].unscored
