"""The bundled suites: what they hold, and that a proofreader finds nothing that a program can find."""

import re
import unicodedata
from collections import Counter

import pytest

from hybrid.errors import SuiteError
from hybrid.schema import Suite
from hybrid.suites import FOLDER, bundled_suites, is_bundled, load_suite

TRANSLATION, SUMMARIES, JUDGED = "everyday-en-de", "briefs-en", "everyday-100-en-de"
# Number and content of each version. None of a released one ever changes: stored runs name them.
VERSIONS = {
    "everyday-en-de@1": (270, "82590d3a74a85addfa776636a0bf9f8d877c02ce8421caaa3cf7516f538b08e5"),
    "everyday-en-de@2": (1035, "e6c723bdc472b63db0057430220c6389bc2916735eff26486970d9a2a03c74b9"),
    "briefs-en@1": (84, "fce80a38e1f90fd82d30fa8049bc57213422aa5d3634e3d1b2f84a1fb66208a9"),
    "briefs-en@2": (246, "a8824f73f1b814c68ec85648d73e7c358d6eda0fd73c882d68fcc1e735fa550e"),
    "everyday-100-en-de@1": (100, "398cd63ac28845c3db40eb10742ab89f817029036da21a53ec9807115118dabd"),
}
_NUMBER = re.compile(r"\d(?:[\d.,]*\d)?")
_SENTENCE_END = re.compile(r"[.!?][\"“]?(?=\s|$)")


@pytest.fixture(scope="module", params=[TRANSLATION, SUMMARIES, JUDGED])
def suite(request: pytest.FixtureRequest) -> Suite:
    return load_suite(request.param)


@pytest.fixture(scope="module", params=[TRANSLATION, JUDGED])
def translation(request: pytest.FixtureRequest) -> Suite:
    return load_suite(request.param)


@pytest.fixture(scope="module")
def summaries() -> Suite:
    return load_suite(SUMMARIES)


def words(text: str) -> int:
    return len(text.split())


def texts(suite: Suite) -> list[tuple[str, str]]:
    """Every text of the suite with the id of its example."""
    return [(e.id, text) for e in suite.examples for text in (e.source, *e.references)]


def flawed(pairs: list[tuple[str, str]], pattern: str) -> list[tuple[str, str]]:
    """Texts that hold the pattern, by id, with what was found."""
    return [(key, flaw[0]) for key, text in pairs if (flaw := re.search(pattern, text))]


def test_the_folder_holds_the_suites_and_nothing_else() -> None:
    assert bundled_suites() == (TRANSLATION, SUMMARIES, JUDGED)
    files = [f"{name.replace('@', '-')}.jsonl" for name in VERSIONS]
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(files)


@pytest.mark.parametrize("name", VERSIONS)
def test_a_version_never_changes(name: str) -> None:
    suite = load_suite(name)
    assert suite.name == name
    assert (len(suite.examples), suite.content_hash) == VERSIONS[name]


def test_a_name_without_a_version_is_the_newest_which_begins_with_those_before() -> None:
    for name in (TRANSLATION, SUMMARIES):
        first, newest = load_suite(f"{name}@1"), load_suite(name)
        assert newest == load_suite(f"{name}@2")
        assert newest.examples[: len(first.examples)] == first.examples
        assert newest.content_hash != first.content_hash
    assert load_suite(JUDGED) == load_suite(f"{JUDGED}@1")


@pytest.mark.parametrize("name", ["everyday-en-de@3", "everyday-en-de@0", "briefs-en@", "briefs-en@01"])
def test_a_version_that_there_is_not_is_no_suite(name: str) -> None:
    assert not is_bundled(name)
    with pytest.raises(SuiteError, match=rf"'{name}'; did you mean {name.partition('@')[0]}@\d\?"):
        load_suite(name)


def test_task_and_licence() -> None:
    assert [load_suite(name).task for name in bundled_suites()] == [
        "translate-en-de", "summarize", "translate-en-de",
    ]  # fmt: skip
    assert {load_suite(name).licence for name in bundled_suites()} == {"CC0-1.0"}


def test_other_tasks_and_columns_are_refused() -> None:
    assert load_suite(TRANSLATION, "translate-en-de").task == "translate-en-de"
    with pytest.raises(
        SuiteError, match=r"everyday-en-de is for translate-en-de \(en to de\), not for summarize"
    ):
        load_suite(TRANSLATION, "summarize")
    with pytest.raises(SuiteError, match="everyday-en-de has no columns to name"):
        load_suite(TRANSLATION, columns={"source": "x"})


def test_sizes_of_the_translation_suite() -> None:
    translation = load_suite(TRANSLATION)
    assert len(translation.examples) >= 1000
    domains = Counter(e.domain for e in translation.examples)
    assert len(domains) == 12
    assert min(domains.values()) >= 80
    assert [(e.id, words(e.source)) for e in translation.examples if not 5 <= words(e.source) <= 45] == []
    assert all(len(e.references) >= 1 for e in translation.examples)


def test_sizes_of_the_suite_that_is_judged() -> None:
    examples = load_suite(JUDGED).examples
    assert len(examples) == 100
    domains = Counter(e.domain for e in examples)
    assert len(domains) == 11
    assert set(domains.values()) <= {9, 10}
    assert [(e.id, words(e.source)) for e in examples if not 5 <= words(e.source) <= 20] == []
    assert {e.source for e in examples}.isdisjoint(e.source for e in load_suite(TRANSLATION).examples)


def test_sizes_of_the_summaries(summaries: Suite) -> None:
    assert len(summaries.examples) >= 240
    domains = Counter(e.domain for e in summaries.examples)
    assert len(domains) == 6
    assert min(domains.values()) >= 40
    assert [(e.id, words(e.source)) for e in summaries.examples if not 60 <= words(e.source) <= 300] == []
    for example in summaries.examples:
        first, second = example.references
        assert first != second, example.id
        for summary in (first, second):
            assert 1 <= len(_SENTENCE_END.findall(summary)) <= 2, (example.id, summary)
            assert words(summary) < 0.6 * words(example.source), example.id
            assert summary not in example.source, example.id


def test_ids_and_texts_are_unique(suite: Suite) -> None:
    sources = Counter(re.sub(r"\W+", " ", e.source).casefold() for e in suite.examples)
    assert [text for text, times in sources.items() if times > 1] == []
    assert all(re.fullmatch(rf"{re.escape(e.domain)}-\d+", e.id) for e in suite.examples)
    references = Counter(text for e in suite.examples for text in e.references)
    assert [text for text, times in references.items() if times > 1] == []


def test_no_six_words_of_a_sentence_come_in_another() -> None:
    first: dict[str, str] = {}
    for suite in map(load_suite, (TRANSLATION, JUDGED)):
        for example in suite.examples:
            key, tokens = f"{suite.name} {example.id}", re.findall(r"\w+", example.source.casefold())
            for start in range(len(tokens) - 5):
                assert first.setdefault(" ".join(tokens[start : start + 6]), key) == key


def test_spelling_of_blanks_and_punctuation(suite: Suite) -> None:
    pairs = texts(suite)
    assert [key for key, text in pairs if text != text.strip()] == []
    assert [key for key, text in pairs if unicodedata.normalize("NFC", text) != text] == []
    assert flawed(pairs, r"  |[^\S \n]|\n[ ]|[ ]\n") == []
    assert flawed(pairs, r" [,.;:!?](?!\w)") == []  # ".com" may follow a blank
    assert flawed(pairs, r",,|\.\.(?!\.)(?<!\.\.\.)|;;|\?\?|!!|\( | \)") == []
    assert flawed(pairs, r"[,;][^\W\d_]") == []  # no blank behind it
    assert (
        flawed(pairs, r"(?i)\b(\w{2,}) \1\b(?<!\bthat that)(?<!\bhad had)(?<!\bdie die)(?<!\bder der)") == []
    )
    assert flawed(pairs, r"[’‘`´…]|[\U0001F000-\U0001FFFF]|[\u200b-\u200f\ufeff]") == []


def test_letters_and_quotes_are_those_of_the_language(suite: Suite) -> None:
    german = [(e.id, text) for e in suite.examples for text in e.references] if "de" in suite.name else []
    english = [pair for pair in texts(suite) if pair not in german]
    assert flawed(english, r"[äßÄÖÜ„“”«»]") == []
    assert [key for key, text in english if text.count('"') % 2] == []
    assert flawed(german, "[^ -~äöüÄÖÜß„“‚‘–é€°\\u00a0]") == []
    assert flawed(german, '"') == []
    assert [key for key, text in german if re.sub("[^„“]", "", text) != "„“" * text.count("„")] == []
    assert flawed(german, r"\b(the|and|with|of|for)\b") == []
    assert flawed(german, r"\bdaß\b|\bmuß\b|\bAdreße\b|\w+ß{2}") == []


def test_a_sentence_ends_like_its_translation(translation: Suite) -> None:
    for example in translation.examples:
        source, target = example.source.rstrip('"'), example.references[0].rstrip("“")
        ends = [text[-1] if text[-1] in ".?!" else "" for text in (source, target)]
        assert ends[0] == ends[1], example.id


def test_numbers_survive_translation(translation: Suite) -> None:
    for example in translation.examples:
        in_source, in_reference = (
            {re.sub("[.,]", "", number) for number in _NUMBER.findall(text)}
            for text in (example.source, example.references[0])
        )
        afternoon = (
            {str(int(n) + 12) for n in in_source if int(n) < 12} if "p.m." in example.source else set()
        )
        lost = {n for n in in_source - in_reference if str(int(n) + 12) not in afternoon & in_reference}
        assert not lost, (example.id, lost)
