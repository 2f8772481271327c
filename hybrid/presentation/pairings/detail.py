"""One pair at one size: break-even lengths, needs, where its time goes, its speed-up as lengths grow."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import plotly.graph_objects as go

from hybrid.engines.registry import ENGINES
from hybrid.errors import InputError
from hybrid.format import amount, counted, label, milliseconds, ratio, size
from hybrid.presentation.charts import GRAY, SYSTEM_COLORS, Drawing
from hybrid.presentation.charts.axes import framed
from hybrid.presentation.charts.phase_bars import Bar, phase_bars
from hybrid.presentation.pairings.cells import PairCell, pair_cell
from hybrid.presentation.pairings.measured import MeasuredPairs
from hybrid.presentation.pairings.metrics import OWN, Terms, at_price, spread_words
from hybrid.presentation.pairings.sources import LONGEST, Device
from hybrid.schema import METHODS, MODELS, System
from hybrid.sizing import Pair, Profile, Request, beyond, break_even, predict
from hybrid.store.tables import Cell, Table

Axis = Literal["prompt", "output"]
LENGTHS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096)


@dataclass(frozen=True)
class Curve:
    """Speed-up end to end by the length of prompts or answers, all else as in `request`; cells by length.

    extrapolated: lengths of `predicted` beyond what the profile was measured at. whose: see PairCell.
    """

    axis: Axis
    request: Request
    predicted: dict[int, float]
    measured: dict[int, PairCell]
    extrapolated: frozenset[int] = frozenset()
    whose: str = ""

    def how(self, length: int) -> str:
        """Say how the speed-up at this length was come by."""
        return "extrapolated" if length in self.extrapolated else "predicted"

    @property
    def sentence(self) -> str:
        """What the curve shows, with numbers."""
        what, other = ("Answers", "prompts") if self.axis == "output" else ("Prompts", "answers")
        fixed = self.request.prompt if self.axis == "output" else self.request.output
        head = f"{what} of any length, with {other} of {fixed:,} tokens at batch {self.request.batch}: "
        parts = []
        if self.predicted:
            first, last = min(self.predicted), max(self.predicted)
            parts.append(
                f"≈ {ratio(self.predicted[first])} at {first:,} and {ratio(self.predicted[last])} at "
                f"{last:,} tokens as predicted{self._doubts}"
            )
        if self.measured:
            parts.append(
                ", ".join(f"{ratio(cell.speedup or 0)} at {at:,}" for at, cell in self.measured.items())
                + " measured"
            )
        return head + ("; ".join(parts) or "neither predicted nor measured") + "."

    @property
    def table(self) -> Table:
        """Every point, the measured first at each length."""
        rows: list[Sequence[Cell]] = []
        for at in sorted({*self.predicted, *self.measured}):
            if cell := self.measured.get(at):
                rows.append([at, cell.speedup, f"measured {cell.grid_id}", cell.repeats])
            if at in self.predicted:
                rows.append([at, self.predicted[at], self.how(at), 0])
        return Table(
            {
                f"{self.axis}_tokens": "of each, which grows",
                "speedup": "LLM's latency end to end over the hybrid's",
                "source": "measured GRID, predicted, or extrapolated",
                "repeats": "measured answers of each method",
            },
            rows,
        )

    @property
    def _doubts(self) -> str:
        """Say what the line rests on."""
        inside = [length for length in self.predicted if length not in self.extrapolated]
        parts = [f" from a {self.whose}"] if self.whose else []
        if self.extrapolated:
            parts.append(f", extrapolated{_outside(self.predicted, inside)}")
        return "".join(parts)


def _outside(lengths: Iterable[int], inside: Sequence[int]) -> str:
    """Say which lengths are not inside: ` beyond 512`, ` outside 32 to 512`, or nothing where all are not."""
    if not inside:
        return ""
    first = "beyond" if min(lengths) in inside else f"outside {min(inside):,} to"
    return f" {first} {max(inside):,}"


def curve_drawing(curve: Curve) -> Drawing:
    """Draw speed-up against a length: a line where it is predicted, points where it was measured."""
    line, color = curve.predicted, SYSTEM_COLORS["hybrid"]
    points = {at: cell.speedup for at, cell in curve.measured.items() if cell.speedup is not None}
    figure = go.Figure()
    whose = f"<br>from a {curve.whose}" if curve.whose else ""
    if line:
        figure.add_scatter(
            x=list(line), y=list(line.values()), mode="lines", name="≈ predicted",
            line={"color": color, "dash": "dot", "width": 2}, hoverinfo="text",
            hovertext=[
                f"≈ {ratio(y)} at {counted(x, 'token')}, {curve.how(x)}{whose}" for x, y in line.items()
            ],
        )  # fmt: skip
    if points:
        repeats = {at: label(spread_words(curve.measured[at]), 200) for at in points}
        figure.add_scatter(
            x=list(points), y=list(points.values()), mode="markers", name="measured", hoverinfo="text",
            marker={"color": color, "size": 11, "line": {"color": GRAY, "width": 1}},
            hovertext=[
                f"{ratio(y)} at {counted(x, 'token')}, measured<br>{repeats[x]}" for x, y in points.items()
            ],
        )  # fmt: skip
    framed(figure, f"{curve.axis} tokens", "LLM's time over the hybrid's", height=330)
    at, thin = getattr(curve.request, curve.axis), {"color": GRAY, "width": 1}
    alike = {"xref": "x domain", "x0": 0, "x1": 1, "y0": 1, "y1": 1, "line": {**thin, "dash": "dash"}}
    here = {"yref": "y domain", "x0": at, "x1": at, "y0": 0, "y1": 1, "line": thin}
    figure.update_layout(shapes=[{"type": "line", **shape} for shape in (alike, here)])
    ticks = sorted({*points, *(x for x in line if math.log2(x).is_integer() and math.log2(x) % 2 == 0)})
    figure.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{x:,}" for x in ticks], fixedrange=True)
    figure.update_yaxes(rangemode="tozero", ticksuffix="×", fixedrange=True)
    return Drawing(figure, curve.sentence, curve.table)


def curve(device: Device, grids: MeasuredPairs, cell: PairCell, axis: Axis) -> Curve:
    """Give a pair's speed-up along one length. The line ends where a model's positions do."""
    pair, request = Pair(cell.llm, cell.slm), cell.request
    requests = [replace(request, **{axis: length}) for length in sorted({*LENGTHS, getattr(request, axis)})]
    line, outside = {}, set()
    for at in requests:
        if device.profile is not None and (value := _predicted(pair, at, device.profile)) is not None:
            line[getattr(at, axis)] = value
            if beyond(device.profile, at, pair):
                outside.add(getattr(at, axis))
    lengths = grids.along(cell.llm.name, cell.slm.name, request, axis)
    points = {
        length: pair_cell(device, grids, pair, replace(request, **{axis: length})) for length in lengths
    }
    measured = {length: point for length, point in points.items() if point.grid_id}
    return Curve(axis, request, line, measured, frozenset(outside), device.whose)


def sentences(device: Device, cell: PairCell, terms: Terms) -> list[str]:
    """From when on the pair pays, what it costs, and what it needs; plain text."""
    texts: list[str] = []
    if device.profile is not None and cell.methods:
        even = _break_even(Pair(cell.llm, cell.slm), cell.request, device.profile)
        texts.append(f"Predicted{f' from a {device.whose}' if device.whose else ''}: {' '.join(even)}")
    costs = {method: cell.cost(method, terms.price) for method in cell.methods}
    if llm := costs.get("llm"):
        others = [f"{amount(cost)} by the {name}" for method, name in _NAMES if (cost := costs.get(method))]
        texts.append(
            f"A million output tokens cost {', '.join([f'{amount(llm)} by the LLM', *others])}, "
            f"{at_price(terms)}, and that does nothing else."
        )
    if cell.needs:
        parts = [f"the LLM {size(cell.needs['llm'].total)}"]
        parts += [f"the {name} {size(cell.needs[method].total)}" for method, name in _NAMES]
        texts.append(f"Memory for weights and caches, computed from sizes: {', '.join(parts)}.")
    engine = ENGINES.get(device.engine)
    if engine is not None and "hybrid" not in engine.methods:
        texts.append(f"The engine {device.engine} does not run hybrids: this is what one would take in it.")
    return texts


def times_drawing(cell: PairCell, terms: Terms, ground: str = "#ffffff") -> Drawing:
    """Draw where the time of each method goes. ground: of the page, see phase_bars()."""
    bars = []
    for method in MODELS:
        if method in cell.methods:
            phases_ms = {phase: 1e3 * seconds for phase, seconds in cell.methods[method].phases.items()}
            bars.append(Bar(METHODS[method].label, System(method), phases_ms))
    unit, hatched = "milliseconds for the batch, end to end", cell.source == "predicted"
    figure = phase_bars(bars, unit, ground=ground, hatched=hatched)
    return Drawing(figure, times_sentence(cell), times_table(cell, terms))


def times_sentence(cell: PairCell) -> str:
    """How long each method takes, and whether anyone measured it; plain text."""
    names = {"llm": "the LLM", "slm": "the SLM", "hybrid": "the hybrid"}
    times = ", ".join(
        f"{names[method]} {milliseconds(took.total_s)}" for method, took in cell.methods.items()
    )
    request = cell.request
    origin = f"measured in grid {cell.grid_id}, medians of {cell.repeats} repeats, weights random"
    return (
        f"{cell.names}, "
        f"{origin if cell.grid_id else f'≈ {cell.estimate}, not measured'}: {times} for "
        f"{counted(request.batch, 'prompt')} of {request.prompt:,} tokens answered with "
        f"{request.output:,} each."
    )


def times_table(cell: PairCell, terms: Terms) -> Table:
    """Give a row for each method: phases, totals, speed-up."""
    phases = list(dict.fromkeys(phase for times in cell.methods.values() for phase in times.phases))
    columns = {
        "method": "llm, slm or hybrid",
        "source": "measured GRID, predicted, or extrapolated",
        "profile": "whose it is where nothing was measured",
        **{f"{phase}_ms": "of the whole batch; median where measured" for phase in phases},
        "total_ms": "end to end; medians of parts need not sum to it",
        "ttft_ms": "time to first token",
        "tpot_ms": "per token after the first",
        "speedup": "LLM's total_ms over this one's",
        "cost": f"of a million output tokens {at_price(terms)}",
        "memory_bytes": "weights and caches, computed from sizes",
    }
    source = [f"measured {cell.grid_id}", ""] if cell.grid_id else [cell.how, cell.whose or OWN]
    rows: list[Sequence[Cell]] = [
        [
            method, *source, *(times.phases[p] * 1e3 if p in times.phases else None for p in phases),
            times.total_s * 1e3, times.ttft_s * 1e3, None if times.tpot_s is None else times.tpot_s * 1e3,
            cell.methods["llm"].total_s / times.total_s, cell.cost(method, terms.price),
            cell.needs[method].total if cell.needs else None,
        ]
        for method, times in cell.methods.items()
    ]  # fmt: skip
    return Table(columns, rows)


_NAMES: tuple[tuple[Literal["slm", "hybrid"], str], ...] = (("slm", "SLM"), ("hybrid", "hybrid"))


def _predicted(pair: Pair, request: Request, profile: Profile) -> float | None:
    try:
        methods = predict(pair, request, profile)
    except InputError:
        return None
    return methods["llm"].total_s / methods["hybrid"].total_s


def _break_even(pair: Pair, request: Request, profile: Profile) -> list[str]:
    """Both sentences, and how far they hold where a model has few positions."""
    texts = list(break_even(pair, request, profile).sentences)
    ends = [shape.positions for shape in (pair.llm, pair.slm) if shape.positions is not None]
    if ends and min(ends) < LONGEST:
        texts.append(f"All that up to {min(ends):,} tokens, where the positions of one of the models end.")
    return texts
