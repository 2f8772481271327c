"""Names, copies, fragments and form: cases written by hand."""

import pytest

from hybrid.metrics import METRICS, Case, benchmark_metrics
from hybrid.metrics.faithfulness import lacking, names
from hybrid.schema import TASKS, task_named

DOCUMENT = (
    "The old mill by the river burned down on Sunday. Nobody was hurt, said Anna Lindqvist-Moyo of the BBC."
)


def fault(name: str, answer: str, source: str = "x", language: str = "en", to: str = "") -> bool:
    (value,) = METRICS[name].statistics(
        Case(answer, ["One reference here."], source, to or language, language)
    )
    return bool(value)


@pytest.mark.parametrize(
    ("source", "answer", "lost"),
    [
        ("We met Anna in Harwell.", "Wir trafen Anna in Harwell.", []),
        ("We met Anna's friend.", "Wir trafen Annas Freund.", []),
        ("It was Peter Hale-Moyo.", "Es war Moyo.", []),
        ("I saw Zoë in Café Bar.", "Ich sah Zoe im Cafe.", []),
        ("He works for NASA on Monday.", "Er arbeitet montags für die NASA.", []),
        ("We met Anna in Harwell.", "Wir trafen eine Frau in Harwell.", [("Anna",)]),
        ("Anna came.", "Sie kam.", []),  # the first word of a sentence is no name for sure
        ("The Old Mill Burned Down", "Brand", []),  # a headline
        ("Leap Conference: Call for Papers", "Einladung", []),
        ("NOTHING BUT CAPITALS HERE.", "Nur das.", []),
    ],
)
def test_names_that_a_translation_lacks(source: str, answer: str, lost: list[tuple[str, ...]]) -> None:
    assert list(lacking(names(source), answer)) == lost


def test_names_that_a_summary_invents() -> None:
    assert fault("invented_names", "A fire hurt nobody, said Peter Brown of the police.", DOCUMENT)
    assert not fault("invented_names", "A fire hurt nobody, said Lindqvist of the BBC.", DOCUMENT)
    judged = [
        METRICS["invented_names"].judges(task_named(f"translate-{pair}")) for pair in ("en-de", "de-en")
    ]
    assert judged == [False, True]  # German nouns all have capital letters
    assert METRICS["invented_names"].judges(TASKS["summarize"])


def test_copies_of_a_document() -> None:
    assert fault("copies", "The old mill by the river burned down on Sunday.", DOCUMENT)
    assert fault("copies", "the old mill near the river burned down", DOCUMENT)
    assert not fault("copies", "A mill by the river burned, nobody hurt.", DOCUMENT)
    assert not fault("copies", "The old mill", DOCUMENT)  # a phrase
    assert not fault("copies", "", DOCUMENT)
    assert not fault("copies", "The old mill by the river", "")
    assert fault("copies", DOCUMENT * 3, DOCUMENT * 5)


def test_translations_that_were_left_as_they_were() -> None:
    source = 'The film "Night Train to Lyon" starts at nine, see https://example.org/a/b.'
    assert fault("copies", source, source, to="de")
    german = 'Der Film "Night Train to Lyon" beginnt um neun, siehe https://example.org/a/b.'
    assert not fault("copies", german, source, to="de")


def test_fragments_are_those_of_newsroom() -> None:
    answer = "the old mill was burned down on Sunday"  # the old mill | was | burned down on sunday
    row = [
        METRICS[name].statistics(Case(answer, ["x"], DOCUMENT, "en", "en"))
        for name in ("coverage", "density")
    ]
    assert row == [(1.0,), ((9 + 1 + 16) / 8,)]
    assert METRICS["compression"].statistics(Case(answer, ["x"], DOCUMENT)) == (20.0, 8.0)
    assert METRICS["coverage"].statistics(Case("", ["x"], DOCUMENT)) == (0.0,)
    assert METRICS["density"].statistics(Case("a b", ["x"], "")) == (0.0,)


@pytest.mark.parametrize(
    ("name", "answer", "expected"),
    [
        ("empty", "", True),
        ("empty", "... \u201e\u201c", True),
        ("empty", "\U0001f44d", False),
        ("unfinished", "It ends here.", False),
        ("unfinished", 'She said "no."', False),
        ("unfinished", "It does not end", True),
        ("unfinished", "It does not end,", True),
        ("off_length", "one", False),
        ("off_length", "one two three four five six seven", True),
        ("repeating", "the cat sat and the cat sat", True),
        ("repeating", "the cat cat sat", True),
        ("repeating", "on 2 November 2 November", True),
        ("repeating", "very, very good; that that is is", False),
        ("repeating", "the pool in one town and the pool in another", False),
        ("wrong_language", "Das Haus ist nicht so alt, und es wird verkauft.", True),
        ("wrong_language", "\u041f\u043e\u0435\u0437\u0434 \u0441\u043d\u043e\u0432\u0430 the late", True),
        ("wrong_language", "The house is old.", False),
        ("wrong_language", "Zellmark, Berlin", False),
        ("wrong_language", 'They sang "Die Gedanken sind frei und nicht zu fangen".', False),
    ],
)
def test_form(name: str, answer: str, expected: bool) -> None:
    assert fault(name, answer) is expected


def test_one_reference_of_one_word_or_several() -> None:
    off = METRICS["off_length"]
    assert off.statistics(Case("yes it is true", ["Yes"])) == (1.0,)
    assert off.statistics(Case("yes it is true", ["Yes", "Yes, that is so."])) == (0.0,)
    assert METRICS["unfinished"].statistics(Case("Headline", ["A sentence.", "Headline too"])) == (0.0,)


@pytest.mark.parametrize(
    "text",
    [
        "!?",
        "word " * 10_000,
        "a b " * 5_000,
        "ä\u0301 漢字 \u05d0 7 \U0001f34e",
        "\x00",
        "a" * 100_000,
        "1," * 20_000,
        "«" * 20_000,
    ],
)
def test_any_text_has_statistics(text: str) -> None:
    for task in TASKS.values():
        for name in benchmark_metrics(task):
            if METRICS[name].catches:
                row = METRICS[name].statistics(Case(text, [text[:50] or "x"], text[1:], "zh", "de"))
                assert len(row) == METRICS[name].width
                assert all(value >= 0 for value in row)
