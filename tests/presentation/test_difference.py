"""Word-level difference: nothing is lost, nothing is made up, and no pair of texts takes long."""

import random
import time

import pytest

from hybrid.presentation import difference as module
from hybrid.presentation.difference import Part, words

WORDS = (
    "das", "alte", "Haus", "steht", "am", "Fluss", ",", ".", "und", "\n\t", "", "groß", "Größe", "<b>",
    "=1+1", "\u202e", "5,000",
)  # fmt: skip


def text_of(parts: tuple[Part, ...], *kinds: str) -> str:
    return "".join(part.text for part in parts if part.kind in kinds)


@pytest.mark.parametrize("seed", range(60))
def test_the_parts_make_up_both_texts(seed: int):
    draw = random.Random(seed)
    old, new = (" ".join(draw.choices(WORDS, k=draw.randint(0, 40))) for _ in range(2))
    parts = words(old, new)
    assert text_of(parts, "same", "added") == new
    assert text_of(parts, "same", "removed") == old
    assert all(part.text for part in parts)


def test_a_changed_word_is_all_that_differs():
    assert words("Das alte Haus steht.", "Das neue Haus steht.") == (
        Part("same", "Das "), Part("removed", "alte"), Part("added", "neue"), Part("same", " Haus steht."),
    )  # fmt: skip


def test_words_count_as_wholes_and_marks_alone():
    assert words("steht", "stehen") == (Part("removed", "steht"), Part("added", "stehen"))
    assert words("Hallo Welt", "Hallo, Welt!") == (
        Part("same", "Hallo"), Part("added", ","), Part("same", " Welt"), Part("added", "!"),
    )  # fmt: skip
    assert words("e\u0301t", "et") == (Part("removed", "e\u0301t"), Part("added", "et"))


def test_white_space_between_changed_words_is_changed_with_them():
    assert words("ein Haus", "der Fluss") == (Part("removed", "ein Haus"), Part("added", "der Fluss"))


def test_equal_and_empty_texts():
    assert words("wie hier", "wie hier") == (Part("same", "wie hier"),)
    assert words("", "") == ()
    assert words("", "neu") == (Part("added", "neu"),)
    assert words("alt", "") == (Part("removed", "alt"),)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (" ".join(f"a x{i}" for i in range(3000)), " ".join(f"a y{i}" for i in range(3000))),
        ("a " * 100_000, "b " + "a " * 100_000),
        ("w" * 3_000_000, "v" * 3_000_000),
    ],
)
def test_no_texts_take_long(old: str, new: str):
    """The first would keep SequenceMatcher busy for minutes: 3,000 matches, each among 9,000,000 pairs."""
    start = time.process_time()
    parts = words(old, new)
    assert time.process_time() - start < 5
    assert text_of(parts, "same", "added") == new
    assert text_of(parts, "same", "removed") == old


def test_where_it_would_take_long_both_ends_are_compared(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_MOST_STEPS", 0)
    words.cache_clear()
    assert words("zum alten Haus am Fluss", "zum neuen Weg am Fluss") == (
        Part("same", "zum "), Part("removed", "alten Haus"), Part("added", "neuen Weg"),
        Part("same", " am Fluss"),
    )  # fmt: skip
    assert words("a a", "a a a") == (Part("same", "a a"), Part("added", " a"))
    words.cache_clear()
