"""What one text has and another has not, word by word."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import takewhile
from operator import eq
from typing import Literal

Kind = Literal["same", "added", "removed"]

# Words, the white space between them, and each mark alone; accents written as marks stay with their letter.
_PIECES = re.compile(r"\s+|[\w\u0300-\u036f]+|[^\w\s]")
# Steps that SequenceMatcher may need at most, about a second: texts of 512 tokens stay below unless made to
# be slow. Beyond, only what both begin and end with counts as the same.
_MOST_STEPS = 100_000_000


@dataclass(frozen=True)
class Part:
    """A stretch of one text or of both. added: only the new one has it; removed: only the old one."""

    kind: Kind
    text: str


@lru_cache(maxsize=4096)
def words(old: str, new: str) -> tuple[Part, ...]:
    """How `old` becomes `new`: same and added parts are exactly `new`, same and removed ones exactly `old`.

    Where both have something at one place, what was removed comes first.
    """
    if old == new:
        return _parts(("same", new))
    olds, news = _PIECES.findall(old), _PIECES.findall(new)
    if _steps(olds, news) > _MOST_STEPS:
        return _ends(olds, news)
    pieces: list[tuple[Kind, str]] = []
    # White space alone is no common ground: between two changed words it belongs to the change.
    for _, i, i_end, j, j_end in SequenceMatcher(str.isspace, olds, news, autojunk=False).get_opcodes():
        before, after = "".join(olds[i:i_end]), "".join(news[j:j_end])
        pieces += [("same", after)] if before == after else [("removed", before), ("added", after)]
    return _parts(*pieces)


def _steps(olds: Sequence[str], news: Sequence[str]) -> int:
    """Equal pairs, once for each match that may be found."""
    counts = Counter(news)
    return min(len(olds), len(news)) * sum(
        count * counts[piece] for piece, count in Counter(olds).items() if not piece.isspace()
    )


def _ends(olds: list[str], news: list[str]) -> tuple[Part, ...]:
    """Compare ends only: what both begin and end with is the same, and all between is not."""
    first = _alike(olds, news)
    olds_end, news_end = olds[first:], news[first:]
    last = _alike(olds_end[::-1], news_end[::-1])
    removed, added = olds_end[: len(olds_end) - last], news_end[: len(news_end) - last]
    end = news_end[len(news_end) - last :]
    return _parts(
        ("same", "".join(news[:first])), ("removed", "".join(removed)), ("added", "".join(added)),
        ("same", "".join(end)),
    )  # fmt: skip


def _alike(olds: list[str], news: list[str]) -> int:
    """How many pieces both begin with."""
    return sum(1 for _ in takewhile(bool, map(eq, olds, news)))


def _parts(*pieces: tuple[Kind, str]) -> tuple[Part, ...]:
    return tuple(Part(kind, text) for kind, text in pieces if text)
