"""A text is the same text however it was typed: accents, blanks, line ends, what shows nothing."""

import unicodedata

import pytest

from hybrid.schema.texts import changes, normalized

CAFE = "The caf\u00e9 in D\u00fcsseldorf."


@pytest.mark.parametrize(
    "text",
    [
        unicodedata.normalize("NFD", CAFE),
        f"\ufeff{CAFE}\r\n",
        CAFE.replace(" ", "\u00a0"),
        CAFE.replace(" ", "\r\n"),
        CAFE.replace(" ", "\t \u2009"),
        CAFE.replace("sel", "s\u00adel"),
        CAFE.replace("caf", "ca\u200bf\u2060"),
        CAFE.replace("sel", "\u200csel").replace("the", "t\u200dhe"),
        f"\u202a{CAFE}\u202c\u200e",
        unicodedata.normalize("NFD", CAFE).replace("e\u0301", "e\u200b\u0301"),  # invisible before its accent
    ],
)
def test_what_looks_alike_is_the_same_text(text: str) -> None:
    assert normalized(text) == normalized(text, lines=True).replace("\n", " ") == CAFE
    assert changes(CAFE) == ()


@pytest.mark.parametrize(
    "text",
    [
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian, whose prefix does not join
        "\u0995\u09cd\u200d\u09b7",  # a Bengali half form
        "\U0001f469\u200d\U0001f4bb \U0001f3f3\ufe0f\u200d\U0001f308",  # emoji of several
        "\U0001f469\U0001f3fd\u200d\u2695\ufe0f",  # and with a tone of skin
    ],
)
def test_joiners_stay_where_they_join(text: str) -> None:
    assert normalized(text) == text
    assert normalized(f"\u200d{text}\u200c a\u200cb.\u200d") == f"{text} ab."


def test_line_ends_of_a_document_are_single() -> None:
    text = "\nOne  line.\r\n\r\n Another,\u2028and\u00a0a third. \n"
    assert normalized(text, lines=True) == "One line.\nAnother,\nand a third."
    assert normalized(text) == "One line. Another, and a third."
    assert changes("One.\nTwo.", lines=True) == changes("  One.\n") == ()


def test_what_was_changed_is_named() -> None:
    assert changes("cafe\u0301") == ("accents composed",)
    assert changes("a\u00adb") == ("invisible characters removed",)
    assert changes("a\r\nb") == ("white space reduced to single blanks",)
    assert len(changes("e\u0301\u200b \u00a0x")) == 3


def test_bundled_texts_are_normalized_already() -> None:
    from hybrid.schema import TASKS
    from hybrid.suites import bundled_suites, load_suite

    for suite in map(load_suite, bundled_suites()):
        for example in suite.examples:
            for text in (example.source, *example.references):
                assert normalized(text, TASKS[suite.task].lines) == text
