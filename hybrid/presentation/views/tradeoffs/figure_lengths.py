"""The figure of speed-up by length, and the break-even lengths in words."""

from collections.abc import Mapping

from hybrid.compare.verdict import ratio
from hybrid.compare.warnings import joined
from hybrid.presentation.charts.speedups import Curve, speedups_by_length
from hybrid.presentation.views.tradeoffs.break_even import LEAST, BreakEven
from hybrid.presentation.views.tradeoffs.chosen import COLUMNS, Chosen, Drawn, Shown, ends, listed, titled
from hybrid.presentation.views.tradeoffs.lengths import Bin, ByLength, Length
from hybrid.store.tables import Cell, Table

WORDS: Mapping[Length, str] = {"input": "length of the prompt", "output": "length of the LLM's answer"}
MOST_BANDS = 4  # more of them hide each other; then those of the plan's own engine have one
_COLUMNS = COLUMNS | {
    "tokens_from": "shortest length in the bin",
    "tokens_to": "longest length in the bin",
    "tokens_median": "median length in the bin",
    "n": "examples in the bin",
    "speedup": "LLM's time over the system's, median of paired ratios; above 1 is faster",
    "speedup_low": "lower end of its 95 % bootstrap interval",
    "speedup_high": "upper end of it",
    "break_even": "of the system, in words",
    "break_even_tokens": "where a line fitted to paired differences of time over length crosses 0",
    "break_even_tokens_low": "lower end of its 95 % bootstrap interval",
    "break_even_tokens_high": "upper end of it",
    "break_even_n": "examples behind it",
}


def lengths_figure(chosen: Chosen, kind: Length) -> Drawn | None:
    """None when no run has a bin. Each run is set against its own LLM."""
    there = [(one, one.times.lengths[kind]) for one in chosen if kind in one.times.lengths]
    drawn = [(one, found) for one, found in there if found.bins]
    if not drawn:
        return None
    own = [one for one, _ in drawn if "@" not in one.system]
    banded = [one for one, _ in drawn] if len(drawn) <= MOST_BANDS else own[:MOST_BANDS]
    curves = [_curve(one, found, one in banded) for one, found in drawn]
    kinds = joined(chosen.between.kinds)
    flag = f"These runs differ in {kinds}: each is set against its own LLM" if kinds else ""
    made = speedups_by_length(curves, f"{titled(WORDS[kind])} (tokens)", flag)
    rows = [
        (*one.cells, *_cells(part), *_even(found.break_even)) for one, found in drawn for part in found.bins
    ]
    return Drawn(made, _says(drawn, kind), Table(_COLUMNS, rows))


def _curve(one: Shown, found: ByLength, banded: bool) -> Curve:
    even = found.break_even
    return Curve(
        one.mark,
        tuple(part.middle for part in found.bins),
        tuple(ends(part.ratio) for part in found.bins),
        tuple(f"{_span(part)}: {ratio(part.ratio)}, n = {part.ratio.n}" for part in found.bins),
        ends(even.at) if even.at and even.kind in ("from", "up to") else None,
        banded,
    )


def _span(part: Bin) -> str:
    if part.shortest == part.longest:
        return f"{part.longest:,} tokens"
    return f"{part.shortest:,} to {part.longest:,} tokens"


def _cells(part: Bin) -> tuple[Cell, ...]:
    return part.shortest, part.longest, part.middle, part.ratio.n, *ends(part.ratio)


def _even(found: BreakEven) -> tuple[Cell, ...]:
    at = ends(found.at) if found.at else (None, None, None)
    return found.sentence, *at, found.n


def _says(drawn: list[tuple[Shown, ByLength]], kind: Length) -> str:
    sizes = [part.ratio.n for _, found in drawn for part in found.bins]
    least, most = min(sizes), max(sizes)
    many = f"{least}" if least == most else f"{least} to {most}"
    return (
        f"Speed-up over the LLM by {WORDS[kind]}: each point is the median of {many} paired ratios, LLM's "
        f"time over the system's, on examples of similar length, with its 95 % bootstrap interval. "
        f"Break-even, from a straight line fitted by least squares to the paired differences of time over "
        f"length ({LEAST} examples or more, bootstrap interval): {_break_evens(drawn)}."
    )


def _break_evens(drawn: list[tuple[Shown, ByLength]]) -> str:
    """Systems of which the same is true share a part; those that break even have one each."""
    said: dict[str, list[str]] = {}
    for one, found in drawn:
        said.setdefault(found.break_even.short, []).append(one.mark.name)
    return "; ".join(f"{listed(names)}: {what}" for what, names in said.items())
