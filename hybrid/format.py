"""Turn a quantity into text: the one place that does, for terminal, pages and report.

A function for each kind of quantity. What has an interval may be given whole: anything with
value, low and high, such as hybrid.compare's Estimate and Difference.
"""

import html
import math
import unicodedata
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

NOTHING = "–"  # what is not known
LONGEST_NAME = 60  # characters of a name from elsewhere that are shown
LONGEST_REASON = 400  # of why a file cannot be read, which may hold what is in it
SAME = 1.05  # a ratio nearer to 1 than this is called "as fast" where no interval says more
_MOST_DIGITS = 6


class Interval(Protocol):
    """A value and both ends of its interval; None where it carries none."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


def amount(value: float | None) -> str:
    """Format with three digits, as far as they count: `1,240`, `41.2`, `5.20`, `0.31`, `0.043`."""
    return NOTHING if value is None else f"{value:,.{_decimals(value)}f}"


def milliseconds(seconds: float | None, unit: str = " ms") -> str:
    """Format a duration in milliseconds: `1,240 ms`, `41.2 ms`, `0.31 ms`.

    unit: empty where a heading names it.
    """
    return NOTHING if seconds is None else amount(seconds * 1000) + unit


def milliseconds_interval(result: Interval, unit: str = " ms") -> str:
    """Format milliseconds with their interval: `23.8 ms [22.1, 28.9]`."""
    low, high = result.low, result.high
    ends = "" if low is None or high is None else f" [{amount(low)}, {amount(high)}]"
    return f"{amount(result.value)}{unit}{ends}"


def duration(seconds: float) -> str:
    """Format a span of time for people: `3 days`, `2 hours`, `40 seconds`."""
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def clock(seconds: float) -> str:
    """Format the time that is left: `0:01:02`."""
    return str(timedelta(seconds=round(seconds)))


def ratio(value: float | Interval | None) -> str:
    """Format a ratio, with its interval where there is one: `118×`, `4.6×`, `1.45× [1.31, 1.58]`, `0.017×`.

    More decimals where 1 lies narrowly outside, so that nothing looks like 1 without being it.
    """
    if value is None:
        return NOTHING
    middle, low, high = (value, None, None) if isinstance(value, int | float) else _ends(value)
    open_ends = low is None or high is None
    excluded = low is None or high is None or low > 1 or high < 1
    least = 0 if middle >= 99.95 else 1 if middle >= 1.995 else 2 if middle >= 0.0995 else 3
    digits = apart(least, (middle, *(() if open_ends else (low, high))) if excluded else (), beside=1.0)
    return f"{middle:,.{digits}f}×{interval(low, high, digits)}"


def faster(value: float | None, words: tuple[str, str] = ("faster", "slower")) -> str:
    """Format a speed-up as a comparison: `3.0× faster`, `1.41× slower`, `as fast`."""
    if value is None:
        return NOTHING
    factor = max(value, 1 / value)
    return "as fast" if factor < SAME else f"{ratio(factor)} {words[value < 1]}"


def estimate(result: Interval | None, digits: int = 1, label: str = "") -> str:
    """Format a value with its interval: `25.0 BLEU [19.4, 30.4]`."""
    if result is None:
        return NOTHING
    value = f"{round(result.value, digits) + 0.0:,.{digits}f}"  # no -0.0
    return f"{value}{' ' * bool(label)}{label}{interval(result.low, result.high, digits)}"


def difference(result: Interval, label: str = "") -> str:
    """Format a difference with its sign: `-0.3 BLEU [-0.7, 0.1]`.

    With as many decimals as show that it is one, where its interval leaves out 0.
    """
    low, high = result.low, result.high
    decided = low is not None and high is not None and (low > 0 or high < 0)
    digits = apart(1, (result.value, low, high) if decided else (), beside=0.0)
    value = f"{result.value:+.{digits}f}" if round(result.value, digits) else f"{0:.{digits}f}"
    return f"{value}{' ' * bool(label)}{label}{interval(low, high, digits)}"


def distance(value: float) -> str:
    """Format how far apart two values are, with as many decimals as show that they are: `1.7`, `0.03`."""
    return f"{value:,.{apart(1, (value,), beside=0.0)}f}"


def roughly(count: int) -> str:
    """Format a count that is not known exactly, with two digits: `7,600`."""
    return f"{round(count, 1 - math.floor(math.log10(count))):,}"


def interval(low: float | None, high: float | None, digits: int) -> str:
    """Format both ends, with a space before them: ` [33.1, 35.2]`; empty where there is no interval."""
    if low is None or high is None:
        return ""
    ends = (f"{round(end, digits) + 0.0:,.{digits}f}" for end in (low, high))  # no -0.0
    return f" [{', '.join(ends)}]"


def percent(share: float | None, digits: int = 0) -> str:
    """Format a share, 0 to 1: `97 %`."""
    return NOTHING if share is None else f"{100 * share:.{digits}f} %"


def p_value(value: float) -> str:
    """Format a p-value: `p=0.041`, `p<0.001`."""
    return "p<0.001" if value < 0.001 else f"p={value:.3f}"


def price_per_hour(price: float) -> str:
    """Format what a machine costs: `2.5 an hour, in your currency`, as nobody says which that is."""
    return f"{price:g} an hour, in your currency"


def size(count: float | None) -> str:
    """Format bytes: `1.6 GB`, `840 MB`, `6.1 MB`."""
    if count is None:
        return NOTHING
    if count >= 999.5e6:
        return f"{count / 1e9:,.1f} GB"
    return f"{count / 1e6:.{0 if count >= 9.95e6 else 1}f} MB"


def bandwidth(bytes_per_s: float) -> str:
    """Format bytes per second: `18.4 GB/s`."""
    return f"{bytes_per_s / 1e9:,.1f} GB/s"


def parameters(count: float) -> str:
    """Format a model's size: `6.0M`, `783M`, `2.8B`."""
    if count >= 999.5e6:
        return f"{count / 1e9:.{1 if count < 9.95e9 else 0}f}B"
    return f"{count / 1e6:.{1 if count < 9.95e6 else 0}f}M"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Format a count with its noun: `1 prompt`, `1,240 prompts`; plural: where it is not noun + s."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def listed(names: Sequence[str], most: int | None = None) -> str:
    """Format names in a sentence: `a`, `a and b`, `a, b and c`; beyond `most`, `a, b and 3 more`."""
    if most is not None and len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def layers_of(numbers: Sequence[int], count: int | None) -> str:
    """Format which layers are read: `layer 20 of 30`, `layers 10 and 20 of 30`. count: None if not known."""
    of = f" of {count}" if count else ""
    return f"layer{'s' * (len(numbers) > 1)} {listed([*map(str, numbers)])}{of}"


def capitalized(words: str) -> str:
    """Give the first word a capital letter, and leave the others as they are."""
    return words[:1].upper() + words[1:]


def printable(name: str, longest: int = LONGEST_NAME) -> str:
    """Format a name from elsewhere on one line: what does not print, or turns text around, is spelled out.

    Plain text still: a figure needs label() of it, Markdown an escape.
    """
    spelled = "".join(c if _prints(c) else c.encode("unicode_escape").decode("ascii") for c in name)
    return spelled if len(spelled) <= longest else spelled[: longest - 1] + "…"


def label(name: str, longest: int = LONGEST_NAME) -> str:
    """Format a name for Plotly, which reads tags such as <a> and <b> in every text that it draws."""
    return html.escape(printable(name, longest), quote=False)


def apart(least: int, values: Sequence[float | None], beside: float) -> int:
    """Count the decimals, `least` or more, with which no value looks like `beside` without being it."""

    def alike(value: float, digits: int) -> bool:
        return round(value, digits) == round(beside, digits)

    different = [value for value in values if value is not None and not alike(value, _MOST_DIGITS)]
    choices = range(least, _MOST_DIGITS + 1)
    return next(digits for digits in choices if not any(alike(value, digits) for value in different))


def _decimals(value: float) -> int:
    value = abs(value)
    return 0 if value >= 99.95 or not value else 1 if value >= 9.95 else 2 if value >= 0.0995 else 3


def _ends(result: Interval) -> tuple[float, float | None, float | None]:
    return result.value, result.low, result.high


def _prints(character: str) -> bool:
    """Tell whether it prints; marks that only turn the direction of writing (Unicode's Cf) do not."""
    return character == " " or (character.isprintable() and unicodedata.category(character) != "Cf")
