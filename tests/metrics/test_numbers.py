"""Numbers in English sources and German answers, by hand: which of the answer's the source does not have."""

import pytest

from hybrid.metrics.numbers import missing, numbers_of

CASES = [
    ("It costs 1.5 million.", "Es kostet 1,5 Millionen.", []),
    ("It costs 1,500 euros.", "Es kostet 1.500 Euro.", []),
    ("It costs 1,500 euros.", "Es kostet 1,5 Euro.", ["1,5"]),
    ("It was half past three.", "Es war halb vier.", []),
    ("The shop closes at 7 p.m.", "Das Geschäft schließt um 19 Uhr.", []),
    ("at 5:30 p.m.", "um 17.30 Uhr", []),
    ("at 5:30 in the morning", "Am 15:30 Uhr früh", ["15:30"]),
    ("Twenty-one of 2.5 million", "21 der 2,5 Millionen", []),
    ("Henry VIII had six wives.", "Heinrich der Achte hatte sechs Frauen.", []),
    ("In the 1990s two thirds", "In den Neunzigern zwei Drittel", []),
    ("120 years", "hundertzwanzig Jahre", []),
    ("two hundred and fifty thousand", "250.000", []),
    ("250,000", "zweihundertfünfzigtausend", []),
    ("on 3 May 2021", "am 3.5.2021", []),
    ("on 3 May 2021", "am 3. Mai 2021", []),
    ("2021-05-03", "3. Mai 2021", []),
    ("the third", "der dritte", []),
    ("the 3rd", "der dritte", []),
    ("five km", "5 km", []),
    ("a quarter", "ein Viertel", []),
    ("25 per cent", "ein Viertel", []),
    ("COVID-19", "COVID-19", []),
    ("1914-18", "von 1914 bis 1918", []),
    ("14 to 9 on Monday", "um 14.9. Montag", []),
    ("50 percent", "die Hälfte", []),
    ("a third", "33 %", []),
    ("call 555-1234", "rufen Sie 555-1234 an", []),
    ("v1.2.3", "v1.2.3", []),
    ("10 000 people", "10.000 Menschen", []),
    ("a three-year-old", "dreijährige", []),
    ("a dozen", "zwölf", []),
    ("both", "die zwei", []),
    ("no number", "vier", ["vier"]),
    ("two", "drei", ["drei"]),
    ("$3bn", "3 Mrd. Dollar", []),
    ("3 billion", "3 Milliarden", []),
    ("3 billion", "3 Billionen", ["3 Billionen"]),
    ("2½ hours", "2,5 Stunden", []),
    ("the 1.", "1.", []),
    ("hundred", "hundert", []),
    ("at 9:40 p.m.", "um 21:40 Uhr", []),
    ("3 p.m.", "3 Uhr nachmittags", []),
    ("1,234.56 dollars", "1.234,56 Dollar", []),
    ("a 5-km run on the 2nd", "ein 5-km-Lauf am 2.", []),
    ("the 19th century", "das neunzehnte Jahrhundert", []),
    ("20%", "20 %", []),
    ("see https://example.org/2021/05/ and `x[3]`", "siehe https://example.org/2021/05/ und `x[3]`", []),
    ("three \U0001f34e", "3\ufe0f\u20e3 \U0001f34e", []),
    ("12 degrees, 16.50 euros, 5 boys", "um 12.50.5", ["12.50.5"]),
    ("version 2.10.3", "Version 2.10.3", []),
    ("size 42", "Größe 43", ["43"]),
    ("no digits", "", []),
    ("", "12", ["12"]),
    ("eleven months", "10 Monate", ["10"]),
    ("nobody", "kein einziger", []),
    ("a fortnight", "vierzehn Tage", []),
    ("two double rooms", "zweier Doppelzimmer", []),
]


@pytest.mark.parametrize(("source", "answer", "invented"), CASES)
def test_numbers_that_the_source_lacks(source: str, answer: str, invented: list[str]) -> None:
    assert missing(answer, "de", source, "en") == invented


@pytest.mark.parametrize(
    ("text", "other", "lost"),
    [
        ("two double rooms", "zweier Doppelzimmer", []),
        ("at 9:40 p.m.", "um 21:40 Uhr", []),
        ("twelve children", "Kinder unter Zwilling", ["twelve"]),
        ("One of them", "Einer von ihnen", []),
        ("for a second", "kurz", []),
        ("half of both", "alle", []),
    ],
)
def test_numbers_that_a_translation_lacks(text: str, other: str, lost: list[str]) -> None:
    assert missing(text, "en", other, "de") == lost


def test_a_comma_means_what_it_means_in_the_language() -> None:
    assert missing("1,700 croissants", "en", "they cost 1.70", "en") == ["1,700"]
    assert missing("3.100 people", "en", "3,100 people", "en") == []
    (number,) = numbers_of("1.000", "fr")
    assert number.readings == {1000.0, 1.0}


def test_marks_of_a_list_are_no_claims() -> None:
    assert missing("1. bread\n2. milk\n3) tea", "en", "bread, milk and tea", "en") == []


def test_digits_of_any_length_and_script_are_read() -> None:
    assert missing("9" * 5000, "en", "nothing", "en") == ["9" * 5000]
    assert missing("\u0663 apples", "en", "3 apples", "en") == []
