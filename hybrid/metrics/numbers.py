"""Numbers in a text, whatever they are written in: 1.5 and 1,5; third, 3rd and 3.; einundzwanzig and 21.

A number may have several readings, as in "3 p.m.", which is 15 Uhr. Words are read in English and German;
of other languages only digits. Units are not converted, and nothing is added up or rounded.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

from hybrid.metrics.contract import primary
from hybrid.metrics.vocabulary import ALLOWED_NUMBERS, GERMAN_TENS, GERMAN_UNITS, ORDINALS, TENS, UNITS


@dataclass(frozen=True)
class Number:
    """A number as it stands in a text.

    readings: what it may be. parts: of a date, a time or a range, that stand for it together.
    stated: whether it claims something; "both" and "May" only allow that another text says 2 and 5.
    """

    text: str
    readings: frozenset[float]
    parts: frozenset[float] = frozenset()
    stated: bool = True


def missing(text: str, language: str, other: str, other_language: str) -> list[str]:
    """List the numbers that a text states and another one does not hold in any notation.

    language, other_language: of the texts, as Task has them. 0 and 1 are never missing: they stand in "no",
    "a" and "ein". Nor is what stands in both letter by letter, such as a version or a telephone number, or
    but for the marks: 3.100 in an English text is 3,100 in the wrong notation.
    """
    numbers = [number for number in numbers_of(text, primary(language)) if number.stated]
    if not numbers:
        return []
    values = {0.0, 1.0}
    for number in numbers_of(other, primary(other_language)):
        values |= number.readings | number.parts
    verbatim = {_plain(number.text) for number in numbers_of(other, primary(other_language))}
    return [
        number.text
        for number in numbers
        if _plain(number.text) not in verbatim
        and values.isdisjoint(number.readings)
        and not (number.parts and number.parts <= values)
    ]


def _plain(text: str) -> str:
    return text.replace(",", ".").lower()


@lru_cache(maxsize=256)  # a source is read for every system that has answered it
def numbers_of(text: str, language: str) -> tuple[Number, ...]:
    """Find all numbers of a text, digits first. language: as primary() gives it."""
    return (*_digits(text, language), *_words(text.lower(), language), *_romans(text))


_DIGITS = re.compile(r"\d{1,3}(?:[ '’\u202f]\d{3})+(?![\d.,]?\d)|\d(?:[\d.,:/–-]*\d)?")
_BEHIND = re.compile(
    r"\s?-?(?P<scale>hundred|thousand|million|billion|trillion|hundert|tausend|millionen|milliarden?|billionen|"
    r"mio|mrd|mn|bn|k)\b\.?|(?P<decade>s|er)\b|(?P<half>½)",
    re.IGNORECASE,
)
_AFTERNOON = re.compile(r"(?:\s*uhr)?\s?(?:p\.?\s?m\b|(?:in the |this |at )?(?:afternoon|evening|night)|"
                        r"(?:am |in der )?(?:nachmittag|abend|nacht))", re.IGNORECASE)  # fmt: skip
_LIST = re.compile(r"^\s*\d{1,2}[.)]\s", re.MULTILINE)  # 1. 2. 3. of a list are no claims
_SCALES = {
    "hundred": 1e2, "hundert": 1e2, "thousand": 1e3, "tausend": 1e3, "k": 1e3, "million": 1e6,
    "millionen": 1e6, "mio": 1e6, "mn": 1e6, "bn": 1e9, "mrd": 1e9, "milliarde": 1e9, "milliarden": 1e9,
    "billionen": 1e12, "trillion": 1e12,
}  # fmt: skip


def _digits(text: str, language: str) -> Iterator[Number]:
    listed = {match.end() for match in _LIST.finditer(text)}
    for match in _DIGITS.finditer(text):
        written, behind = match[0], _BEHIND.match(text, match.end())
        readings, parts = _readings(written, text[match.end() : match.end() + 1], language)
        if behind and behind["scale"]:
            scale = _scale(behind["scale"].lower(), language)
            readings = frozenset(value * scale for value in readings)
            written = match[0] + behind[0]
        elif behind and behind["decade"]:
            readings |= {1900 + value for value in readings if 10 <= value < 100}
        elif behind:
            readings = frozenset(value + 0.5 for value in readings)
        elif _AFTERNOON.match(text, match.end()):
            readings |= {value + 12 for value in readings if 0 <= value < 12}
            readings |= {value - 12 * 60 for value in readings if -12 * 60 <= value < 0}
        # "1. ", "2) ": the text behind the number begins where a list's mark ends.
        yield Number(written, readings, parts, stated=not {match.end() + 2, match.end() + 3} & listed)


def _scale(word: str, language: str) -> float:
    if word == "billion":
        return 1e12 if language == "de" else 1e9
    return _SCALES[word]


def _readings(written: str, behind: str, language: str) -> tuple[frozenset[float], frozenset[float]]:
    """Read digits with marks between them. behind: the character after them.

    In English a comma with three digits behind it parts thousands, in German a point; in other languages
    either may. Between digits of any other number both are decimal.
    """
    groups = re.split(r"\D", written)
    marks = re.findall(r"\D", written)
    whole = float("".join(groups))
    if not marks or set(marks) <= set(" '’\u202f"):
        return frozenset({whole}), frozenset()
    values = frozenset(map(float, groups))
    if len(set(marks)) == 1 and marks[0] in ".,":
        thousands = len(groups[0]) <= 3 and all(len(group) == 3 for group in groups[1:]) and groups[0] != "0"
        if len(marks) > 1:
            if thousands:
                return frozenset({whole}), frozenset()
            # 3.5.2021 is a date; of a version or an address the same must stand in both texts.
            is_date = len(groups) == 3 and _is_date(groups[:2], marks[0], ".")
            return frozenset(), values if is_date else frozenset()
        decimal = float(f"{groups[0]}.{groups[1]}")
        if thousands:
            parting = {"en": ",", "de": "."}.get(language, ".,")
            readings = ({whole} if marks[0] in parting else set()) | (
                {decimal} if parting != marks[0] else set()
            )
            return frozenset(readings), frozenset()
        time = _time(groups) if marks[0] == "." else None
        if time is not None:
            return frozenset({decimal, time}), values
        return frozenset({decimal}), values if _is_date(groups, marks[0], behind) else frozenset()
    if marks[-1] in ".," and set(marks[:-1]) == {"," if marks[-1] == "." else "."}:  # 1,234.56
        return frozenset({float(f"{''.join(groups[:-1])}.{groups[-1]}")}), frozenset()
    if marks == ["/"] and float(groups[1]):
        return frozenset({float(groups[0]) / float(groups[1])}), values
    if len(marks) == 1 and marks[0] in "-–" and len(groups[0]) == 4 and len(groups[1]) == 2:  # 1914–18
        return frozenset(), frozenset({float(groups[0]), float(groups[0][:2] + groups[1])})
    if marks == [":"] and (time := _time(groups)) is not None:
        return frozenset({time}), values
    if all(mark in ":/-–" for mark in marks):
        return frozenset(), values
    pieces = re.split(r"[:/–-]", written)  # 3.5–4.5
    read = [_readings(piece, "", language) for piece in pieces if piece and piece != written]
    return frozenset(), frozenset().union(*(readings or parts for readings, parts in read))


def _time(groups: list[str]) -> float | None:
    """Give a time of day as minutes before 0, which no other number is: -1050 of 17.30."""
    hour, minute = map(float, groups)
    is_time = len(groups[0]) <= 2 and len(groups[1]) == 2 and hour <= 24 and minute < 60
    return -(60 * hour + minute) if is_time and hour else None


def _is_date(groups: list[str], mark: str, behind: str) -> bool:
    """Tell 14.9. from 14.9 by the point behind it."""
    day, month = map(float, groups)
    return mark == "." == behind and 1 <= day <= 31 and 1 <= month <= 12 and len(groups[1]) <= 2


_ENGLISH: dict[str, float] = (
    {word: float(value) for value, word in enumerate(UNITS)}
    | {word: float(value) for value, word in enumerate(ORDINALS, start=1)}
    | {word: 10.0 * ten for ten, word in enumerate(TENS, start=2)}
    | {word[:-1] + "ieth": 10.0 * ten for ten, word in enumerate(TENS, start=2)}
    | {word + "s": float(value) for value, word in enumerate(ORDINALS, start=1) if 3 <= value <= 10}
    | {"hundred": 1e2, "hundredth": 1e2, "thousand": 1e3, "thousandth": 1e3, "million": 1e6,
       "billion": 1e9, "trillion": 1e12}
)  # fmt: skip
_ONE = "|".join(sorted(_ENGLISH, key=len, reverse=True))
_RUN = re.compile(rf"(?<![\w.,])(?:{_ONE})(?:(?:\s+and)?[\s-]+(?:{_ONE}))*\b")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")

_IRREGULAR = {"dritt": 3.0, "siebt": 7.0, "acht": 8.0, "zweit": 2.0}
_COUNTED = re.compile(
    r"(.{3,}?)(mal|fach|jährig|tägig|stündig|minütig|wöchig|monatig|köpfig|teilig|stellig|stöckig|spurig|seitig|"
    r"prozentig|geschossig|bändig|sprachig|bettzimmer|zimmerwohnung)e?[nrsm]?"
)
_LONGEST = 60  # letters of a word that a number is read in
_ENDINGS = ("e", "en", "er", "es", "em")
_PAST = re.compile(r"\bhalf[\s-]past[\s-](\w+)|\bhalb (\w+)")  # half past three is halb vier


def _words(text: str, language: str) -> Iterator[Number]:
    """Read the words of a text in small letters, those of the other language without stating them."""
    for match in _RUN.finditer(text):
        words = [word for word in re.split(r"[\s-]+", match[0]) if word != "and"]
        for value in _english(words):
            yield Number(
                match[0], _with_fractions(value, words[-1]), stated=language == "en" and words != ["second"]
            )
    for match in _WORD.finditer(text):
        word = match[0]
        if word in ALLOWED_NUMBERS:
            yield Number(word, frozenset(ALLOWED_NUMBERS[word]), stated=False)
        elif word in ("dutzend", "dutzende", "dozen", "dozens"):
            yield Number(word, frozenset({12.0}), stated=not word.endswith(("s", "de")))
        elif readings := _german(word):
            stated = language == "de" and word not in ("achte", "achten", "achtet")
            yield Number(word, readings, stated=stated)
    for match in _PAST.finditer(text):
        hour, step = (match[1], 1) if match[1] else (match[2], -1)
        if values := _german(hour) or ({_ENGLISH[hour]} if hour in _ENGLISH else set()):
            yield Number(match[0], frozenset(value + step for value in values), stated=False)


def _english(words: list[str]) -> Iterator[float]:
    """Add up words of numbers; where no number goes on so, another one begins: two thirds are 2 and 3."""
    total = current = 0.0
    for word in words:
        value = _ENGLISH[word]
        if value in (1e2, 1e3, 1e6, 1e9, 1e12):
            current = max(current, 1.0) * value
            if value > 1e2:
                total, current = total + current, 0.0
            continue
        rest = current % 100
        if rest and not (rest >= 20 and rest % 10 == 0 and value < 10):
            yield total + current
            total = current = 0.0
        current += value
    yield total + current


def _with_fractions(value: float, word: str) -> frozenset[float]:
    """Give the value, and of a word for a part, third or Drittel, that part and its per cents."""
    is_part = 3 <= value <= 10 and word.endswith(("d", "ds", "th", "ths", "tel", "teln"))
    return frozenset({value, 1 / value, round(100 / value)}) if is_part else frozenset({value})


@lru_cache(maxsize=1 << 15)
def _german(word: str) -> frozenset[float]:
    """Read one German word: a cardinal, an ordinal, a part, a decade, or an adjective with one in it."""
    table = _german_table()
    if word in table or len(word) > _LONGEST:
        return table.get(word, frozenset())
    if counted := _COUNTED.fullmatch(word):
        return table.get(counted[1], frozenset())
    head, thousand, tail = word.partition("tausend")
    if thousand and (not head or head in table) and (not tail or tail in table):
        heads, tails = table.get(head, {1.0}), table.get(tail, {0.0})
        return frozenset(1000 * a + b for a in heads for b in tails)
    return frozenset()


@cache
def _german_table() -> dict[str, frozenset[float]]:
    """Spell all numbers below 1,000 but 0 and 1, which stand in "kein" and "ein"."""
    table: dict[str, frozenset[float]] = {}
    for value, word in _spelled():
        reading = frozenset({float(value)})
        stem = word + ("t" if 0 < value % 100 < 20 else "st")
        part = word + ("tel" if 0 < value % 100 < 20 else "stel")
        table |= {word: reading} | {stem + ending: reading for ending in _ENDINGS}
        if value <= 20:
            table |= dict.fromkeys((part, part + "n"), _with_fractions(float(value), "tel"))
    for stem, number in _IRREGULAR.items():
        table |= {stem + ending: frozenset({number}) for ending in _ENDINGS}
    for stem, number in (("drit", 3.0), ("sieb", 7.0), ("ach", 8.0)):
        table |= dict.fromkeys((f"{stem}tel", f"{stem}teln"), _with_fractions(number, "tel"))
    for n, ten in enumerate(GERMAN_TENS, start=2):
        table |= dict.fromkeys((f"{ten}er", f"{ten}ern"), frozenset({10.0 * n, 1900.0 + 10 * n}))
    irregular = {"zwo": 2.0, "zweier": 2.0, "dreier": 3.0, "million": 1e6}
    return table | {word: frozenset({value}) for word, value in irregular.items()}


def _spelled() -> Iterator[tuple[int, str]]:
    below = list(enumerate(GERMAN_UNITS))[1:]
    for n, ten in enumerate(GERMAN_TENS, start=2):
        below += [
            (10 * n, ten),
            *((10 * n + unit, f"{GERMAN_UNITS[unit]}und{ten}") for unit in range(1, 10)),
        ]
    yield from below[1:]
    heads = [(100, "hundert"), *((100 * n, f"{GERMAN_UNITS[n]}hundert") for n in range(1, 10))]
    for hundred, head in heads:
        yield hundred, head
        yield from ((hundred + value, head + word) for value, word in below)


_ROMAN = re.compile(r"\b[IVX]+\b")
_ROMAN_DIGITS = {"I": 1, "V": 5, "X": 10}


def _romans(text: str) -> Iterator[Number]:
    """Read Roman numerals up to 39 as what allows their number; few who write V or XX state one."""
    for match in _ROMAN.finditer(text):
        values = [_ROMAN_DIGITS[letter] for letter in match[0]]
        total = sum(-v if v < after else v for v, after in zip(values, [*values[1:], 0], strict=True))
        yield Number(match[0], frozenset({float(total)}), stated=False)
