"""Words are told apart as the answers' language needs it, and signatures say how."""

from collections.abc import Callable

import pytest
from sacrebleu.metrics import BLEU, CHRF, TER

from hybrid.metrics import METRICS, Case, score, score_alone, signatures_of, statistics_of, tokenizer_of
from hybrid.metrics import sacre as ours
from hybrid.metrics.contract import primary, words_apart
from hybrid.metrics.sacre import bleu_tokenizer, lacking_dictionary
from hybrid.schema import task_named

CHINESE = ["我们明天早上在火车站见面。", "这座老房子在河边,有 3 个房间。"]
OTHERS = [["我们明天上午在火车站见面吧。"], ["这座旧房子在河边,有 3 间房。"]]
JAPANESE = ["明日の朝、駅で会いましょう。"]
THEIRS: dict[str, Callable[[], BLEU | CHRF | TER]] = {
    "bleu": lambda: BLEU(tokenize="zh"),
    "chrf": CHRF,
    "ter": lambda: TER(normalized=True, asian_support=True),
}


@pytest.mark.parametrize("name", THEIRS)
def test_chinese_is_scored_as_sacrebleu_does(name: str) -> None:
    metric = THEIRS[name]()
    theirs = metric.corpus_score(CHINESE, [[known for (known,) in OTHERS]])
    corpus_score = score(name, CHINESE, OTHERS, "zh")
    assert corpus_score.value == pytest.approx(theirs.score, abs=1e-9)
    assert corpus_score.signature == str(metric.get_signature())
    assert 20 < corpus_score.value < 90


def test_without_its_language_a_chinese_sentence_is_one_word() -> None:
    assert score("bleu", CHINESE[:1], OTHERS[:1]).value == 0
    assert score("rougeL", CHINESE[:1], OTHERS[:1]).value == 0
    assert score("rougeL", CHINESE[:1], OTHERS[:1], "zh").value == pytest.approx(2 * 11 / (12 + 13) * 100)


def test_the_signature_of_a_task_names_the_tokenizer() -> None:
    task = task_named("translate-en-zh")
    signatures = signatures_of(task, OTHERS)
    assert tokenizer_of(signatures["bleu"]) == tokenizer_of(signatures["length"]) == "zh"
    assert "asian:yes" in signatures["ter"]
    words, references = statistics_of(task, CHINESE[0], OTHERS[0])["length"]
    assert (words, references) == (13, 14)
    alone = score_alone("bleu", CHINESE[0], OTHERS[0], "zh")
    assert tokenizer_of(alone.signature) == "zh"
    assert tokenizer_of(signatures_of(task_named("translate-en-de"), OTHERS)["bleu"]) == "13a"


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("zh-Hant-TW", "zh"),
        ("cmn", "zh"),
        ("jpn", "ja"),
        ("ko_KR", "ko"),
        ("de-AT", "de"),
        ("", ""),
        ("kab", "kab"),
    ],
)
def test_the_language_of_a_tag(tag: str, code: str) -> None:
    assert primary(tag) == code


@pytest.mark.parametrize(("language", "usual"), [("ja", "ja-mecab"), ("ko", "ko-mecab")])
def test_without_a_dictionary_characters_are_counted(
    language: str, usual: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "find_spec", lambda name: None)
    assert bleu_tokenizer(language) == "char"
    assert f"pip install 'sacrebleu[{language}]'" in lacking_dictionary(f"{language}-XX")
    monkeypatch.setattr(ours, "find_spec", lambda name: name)
    assert (bleu_tokenizer(language), lacking_dictionary(language)) == (usual, "")


def test_languages_without_spaces_that_sacrebleu_has_nothing_for() -> None:
    assert [bleu_tokenizer(code) for code in ("th", "km", "zh", "de", "")] == [
        "char",
        "char",
        "zh",
        "13a",
        "13a",
    ]
    assert words_apart("今日は OK!").split() == ["今", "日", "は", "OK!"]


def test_japanese_has_a_score_in_any_case() -> None:
    assert score("bleu", JAPANESE, [JAPANESE], "ja").value == pytest.approx(100)


def test_repetition_counts_letters_where_there_are_no_spaces() -> None:
    metric = METRICS["repetition"]
    assert metric.statistics(Case("我们见面我们见面我", [], language="zh")) == (2, 6)
    assert metric.statistics(Case("我们见面我们见面我", [])) == (0, 0)
    assert tokenizer_of(metric.signature({1}, "zh")) == "letters"
