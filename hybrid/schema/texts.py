"""What a text is to models and metrics: one normalization of prompts, answers and references.

Runs store texts as they were given; they are normalized where a model reads
them and where a metric scores them, and nowhere else.
"""

import re
import unicodedata

__all__ = ["UNREADABLE", "changes", "normalized"]

# Shown as nothing: soft hyphen, directional marks, zero-width space, word joiner, byte-order mark.
_INVISIBLE = re.compile("[\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_JOINERS = re.compile("[\u200c\u200d]+")
_SPACE = re.compile(r"\s+")
_LINE_END = re.compile("[\n\v\f\r\x85\u2028\u2029]")
# Unicode's categories Cc and Cs but for line ends and tabs: control characters, halves of surrogate pairs.
UNREADABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def normalized(text: str, lines: bool = False) -> str:
    """Write a text as models read it and metrics score it.

    What shows nothing goes: soft hyphens, zero-width spaces, directional and
    byte-order marks, and joiners (ZWJ, ZWNJ) but between letters of scripts other
    than Latin, or symbols, as in Persian words and emoji. A letter and its accent
    become one character (NFC, Unicode Standard Annex 15). A run of white space becomes one
    blank, none at the ends.

    lines: a run with a line end in it becomes one line feed instead, as documents
    were written that the models of the zoo learned to summarize.
    """
    composed = unicodedata.normalize("NFC", _visible(text))
    if lines:
        return _SPACE.sub(lambda run: "\n" if _LINE_END.search(run[0]) else " ", composed).strip()
    return " ".join(composed.split())


def changes(text: str, lines: bool = False) -> tuple[str, ...]:
    """Name what normalized() changes in a text, but for white space at its ends."""
    visible = _visible(text)
    composed = unicodedata.normalize("NFC", visible)
    steps = (
        ("invisible characters removed", text, visible),
        ("accents composed", visible, composed),
        ("white space reduced to single blanks", composed.strip(), normalized(composed, lines)),
    )
    return tuple(name for name, before, after in steps if before != after)


def _visible(text: str) -> str:
    if text.isascii():
        return text
    return _JOINERS.sub(_joiners, _INVISIBLE.sub("", text))


def _joiners(run: re.Match[str]) -> str:
    text = run.string
    before, after = text[: run.start()][-1:], text[run.end() :][:1]
    return run[0] if _takes_joiners(before) and _takes_joiners(after) else ""


def _takes_joiners(character: str) -> bool:
    """Tell whether a joiner beside it means something; an end of the text is the empty string."""
    if character.isascii() or character.isspace() or unicodedata.category(character).startswith("P"):
        return False
    return not unicodedata.name(character, "").startswith("LATIN")
