"""What an answer owes to its source: numbers and names. No model is asked.

Each check is a share of answers with a fault that can be pointed at. None of them understands a text: a
number that was added up or rounded counts as invented, and a wrong number that the source has elsewhere
does not.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from hybrid.metrics.contract import Case, Check, primary
from hybrid.metrics.numbers import missing
from hybrid.metrics.vocabulary import FUNCTION_WORDS, TRANSLATED_NAMES
from hybrid.schema import Task

# Languages in which a capital letter within a sentence is that of a name; in German every noun has one.
_CASED = frozenset({
    "en", "fr", "es", "it", "pt", "nl", "sv", "da", "no", "fi", "pl", "cs", "hu", "ro", "tr",
})  # fmt: skip
_LATIN = _CASED | {"de"}


class InventedNumbers(Check):
    """Numbers in digits or, in German and English, in words. See hybrid.metrics.numbers."""

    name, label = "invented_numbers", "Invented numbers"
    catches = "Answers with a number that their source does not have in any notation."
    fault = "invented number"

    def has_fault(self, case: Case) -> bool:
        """Look for one number of the answer that the source lacks."""
        return bool(missing(case.answer, case.language, case.source, case.source_language))


class LostNumbers(Check):
    """The reverse; a summary may leave out what it likes."""

    name, label = "lost_numbers", "Lost numbers"
    catches = "Translations that lack a number of their source."
    fault = "lost number"
    kinds = ("translation",)

    def has_fault(self, case: Case) -> bool:
        """Look for one number of the source that the answer lacks."""
        return bool(missing(case.source, case.source_language, case.answer, case.language))


class InventedNames(Check):
    """Names are words with a capital letter within a sentence, so that German answers are not judged."""

    name, label = "invented_names", "Invented names"
    catches = "Answers with a name that their source does not have, inflected or as an abbreviation either."
    fault = "invented name"

    def judges(self, task: Task) -> bool:
        """Judge where a capital letter is that of a name, and the source's letters are of the same script."""
        languages = primary(task.target_language), primary(task.source_language)
        return super().judges(task) and languages[0] in _CASED and languages[1] in _LATIN

    def has_fault(self, case: Case) -> bool:
        """Look for one name of the answer that the source lacks."""
        return any(lacking(names(case.answer), case.source))


class LostNames(Check):
    """Of several words of a name one is enough: the others may have been translated."""

    name, label = "lost_names", "Lost names"
    catches = "Translations that lack a name of their source; names that are translated count as lost."
    fault = "lost name"
    kinds = ("translation",)

    def judges(self, task: Task) -> bool:
        """Judge where names of the source show, and the answer's letters are of the same script."""
        languages = primary(task.source_language), primary(task.target_language)
        return super().judges(task) and languages[0] in _CASED and languages[1] in _LATIN

    def has_fault(self, case: Case) -> bool:
        """Look for one name of the source that the answer lacks."""
        return any(lacking(names(case.source), case.answer))


_WORD = re.compile(r"[^\W_]+")
_SPELLED = re.compile(r"[^\W\d_](?:[\w'’]|-(?=\w))*")
_SENTENCE_END = re.compile(r"(?:^|[.!?:…\n–|•*]|[\"“„»«”(\[']|--)\s*$")


@lru_cache(maxsize=256)
def names(text: str) -> tuple[tuple[str, ...], ...]:
    """Find names: words in a row with a capital letter, the first of a sentence and headlines left out."""
    runs: list[list[str]] = []
    end = -1
    spelled = list(_SPELLED.finditer(text))
    if _is_headline(text, [match[0] for match in spelled]):
        return ()
    for match in spelled:
        word = match[0]
        if not word[0].isupper() or len(word) < 2 or _is_translated(word):
            continue
        if text[end : match.start()] == " " and end >= 0 and runs:
            runs[-1].append(word)
        elif not _SENTENCE_END.search(text[max(0, match.start() - 4) : match.start()]):
            runs.append([word])
        else:
            continue
        end = match.end()
    return tuple(map(tuple, runs))


def _is_headline(text: str, spelled: Sequence[str]) -> bool:
    """Tell words that are capital for their own sake: twice as many as small ones, and in a title as many."""
    words = [word for word in spelled[1:] if word.lower() not in FUNCTION_WORDS["en"]]
    capital = sum(word[0].isupper() for word in words)
    return capital > (len(words) - capital) * (2 if text[-1:] in tuple('.!?…"”') else 0.99)


def lacking(known: Iterable[Sequence[str]], text: str) -> Iterator[Sequence[str]]:
    """Give those names of which a text has no word, be it inflected, or as the first letters of others."""
    present = _folded_words(text)
    initials = "".join(word[0] for word in re.findall(r"[^\W\d_]+", text)).lower()
    for name in known:
        if not any(_is_present(part, present, initials) for word in name for part in word.split("-")):
            yield name


def _is_translated(word: str) -> bool:
    plain = re.sub(r"['’]\w*$", "", word).lower()
    return plain in TRANSLATED_NAMES or plain in FUNCTION_WORDS["en"]


def _is_present(word: str, present: frozenset[str], initials: str) -> bool:
    plain = _fold(re.sub(r"['’]s?$", "", word))
    if plain in present or len(plain) < 2:
        return True
    if word.isupper() and len(word) <= 5 and plain in initials:
        return True
    stem = plain[: max(4, len(plain) - 2)]
    return any(other.startswith(stem) or (len(other) >= 4 and plain.startswith(other)) for other in present)


@lru_cache(maxsize=256)
def _folded_words(text: str) -> frozenset[str]:
    return frozenset(map(_fold, _WORD.findall(text)))


def _fold(word: str) -> str:
    """Write a word in small letters without accents."""
    if word.isascii():
        return word.lower()
    letters = unicodedata.normalize("NFKD", word.lower().replace("ß", "ss"))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
