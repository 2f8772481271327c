"""The form of an answer: whether there is one, its end, language, length and repetition, without a model."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

from hybrid.metrics.contract import Case, Check, primary, words_apart
from hybrid.metrics.extraction import QUOTED, words
from hybrid.metrics.vocabulary import FUNCTION_WORDS, OWN_WORDS
from hybrid.schema import Task

# The script of a language, by the first word of its letters' names in Unicode; all others write Latin.
_SCRIPTS = {
    "ru": "CYRILLIC", "uk": "CYRILLIC", "bg": "CYRILLIC", "sr": "CYRILLIC", "el": "GREEK", "ar": "ARABIC",
    "fa": "ARABIC", "he": "HEBREW", "hi": "DEVANAGARI", "zh": "CJK", "ja": "CJK HIRAGANA KATAKANA",
    "ko": "HANGUL", "th": "THAI", "lo": "LAO", "km": "KHMER", "my": "MYANMAR", "bo": "TIBETAN",
    "ka": "GEORGIAN", "hy": "ARMENIAN", "bn": "BENGALI", "ta": "TAMIL",
}  # fmt: skip
_QUOTED = re.compile(QUOTED)
_END = re.compile(r"[.!?…。！？।؟][\"“”»«'’)\]]*$")
_OPEN = re.compile(r"[,;:–—(\-]$")


class Empty(Check):
    """Punctuation alone is empty, an emoji is not."""

    name, label = "empty", "Empty"
    catches = "Answers without a letter, a digit or a symbol."
    fault = "empty answer"

    def has_fault(self, case: Case) -> bool:
        """Look at the categories of Unicode."""
        return not any(unicodedata.category(character)[0] in "LNS" for character in case.answer)


class Unfinished(Check):
    """A cut answer, whatever cut it: a limit of new tokens, or an end too early."""

    name, label = "unfinished", "Unfinished"
    catches = "Answers that end in a comma or a dash, or without the mark that all their references end with."
    fault = "unfinished answer"

    def has_fault(self, case: Case) -> bool:
        """Compare the ends."""
        if not case.answer or _END.search(case.answer):
            return False
        return bool(_OPEN.search(case.answer)) or all(map(_END.search, case.references))


class WrongLanguage(Check):
    """Tells by scripts, and by function words of seven languages of Europe, see OWN_WORDS.

    An answer of other words, a few or none of these, is taken for right; so is one of two languages in
    about equal parts. Quotes and code may be in any language.
    """

    name, label = "wrong_language", "Wrong language"
    catches = "Answers that are mostly in another language, by their script and their function words."
    fault = "wrong language"

    def judges(self, task: Task) -> bool:
        """Judge where the language is known."""
        return super().judges(task) and bool(task.target_language)

    def has_fault(self, case: Case) -> bool:
        """Count letters and function words."""
        language, text = primary(case.language), _QUOTED.sub(" ", case.answer)
        scripts = Counter(_script(character) for character in text if character.isalpha())
        if not scripts:
            return False
        right = sum(scripts[script] for script in _SCRIPTS.get(language, "LATIN").split())
        if 2 * right < scripts.total():
            return True
        if language not in OWN_WORDS:
            return False
        spelled = re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)?", text.lower())
        own = sum(word in FUNCTION_WORDS[language] for word in spelled)
        return any(
            len(others) >= 2 and len(others) > 2 * own
            for code, table in OWN_WORDS.items()
            if code != language
            for others in (
                [word for word in spelled if word in table and word not in FUNCTION_WORDS[language]],
            )
        )


class OffLength(Check):
    """Beside the length ratio of all answers together, in which too long and too short ones make up."""

    name, label = "off_length", "Off length"
    catches = (
        "Answers of less than half or more than twice as many words as any of their references, three words "
        "or more off."
    )
    fault = "far shorter or longer than its references"

    def has_fault(self, case: Case) -> bool:
        """Compare with each reference."""
        length = len(words(case.answer, case.unspaced))
        return all(_is_off(length, len(words(reference, case.unspaced))) for reference in case.references)


class Repeating(Check):
    """What a reader stumbles over; how much is repeated is the rates of n-grams, see repetition."""

    name, label = "repeating", "Repeats itself"
    catches = (
        "Answers with a word or two twice in a row, or a run of three or more words twice; in answers of 100 "
        "words and more, with 5 % repeated 4-grams."
    )
    fault = "repetition"

    def has_fault(self, case: Case) -> bool:
        """Look for words and runs of words."""
        text = words_apart(case.answer) if case.unspaced else case.answer
        return any(_stumbles(text, primary(case.language)))


# What people write twice in a row.
_DOUBLED = {
    "that", "had", "is", "der", "die", "das", "den", "dem", "sie", "was", "wer", "sehr", "very", "so", "ha",
    "no", "nein", "ja", "yes", "immer", "nur", "da", "na", "now", "go", "bye", "many", "much", "far",
    "really", "again",
}  # fmt: skip


def _stumbles(text: str, language: str) -> Iterator[bool]:
    spelled = re.findall(r"[^\W_]+", text)
    lowered = [word.lower() for word in spelled]
    yield any(
        match[1].lower() not in _DOUBLED and not match[1].isdecimal()
        for match in re.finditer(r"(?<!\w)([^\W_]+)\s+(?=\1(?!\w))", text, re.IGNORECASE)
    )
    twos = (
        lowered[i : i + 2] for i in range(len(lowered) - 3) if lowered[i + 2 : i + 4] == lowered[i : i + 2]
    )
    yield any(not _DOUBLED.issuperset(two) for two in twos)
    fours = [tuple(lowered[i : i + 4]) for i in range(len(lowered) - 3)]
    repeated = len(fours) - len(set(fours))
    if len(lowered) >= 100:
        yield repeated > 0.05 * len(fours)
        return
    yield repeated > 0
    seen = set()
    for i in range(len(lowered) - 2):
        three = tuple(lowered[i : i + 3])
        if three in seen and _says_something(spelled[i : i + 3], language):
            yield True
        seen.add(three)


def _says_something(three: list[str], language: str) -> bool:
    """Tell a run that is repeated by mistake from "the pool in", or the name of something."""
    common = FUNCTION_WORDS.get(language, frozenset())
    content = [word for word in three if word.lower() not in common]
    if not content or three[-1].lower() in common:
        return False
    return language == "de" or any(word[0].islower() for word in content)


def _is_off(length: int, reference: int) -> bool:
    return (2 * length < reference or length > 2 * reference) and abs(length - reference) >= 3


def _script(letter: str) -> str:
    return "LATIN" if letter.isascii() else unicodedata.name(letter, "?").split()[0].split("-")[0]
