"""LLM sizes by SLM sizes on one device: what a hybrid of two takes, measured where it was, else predicted.

grids (measured)  |
profile (predicted)  ->  PairCell  ->  a number to show, a row of the table
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from hybrid.errors import InputError
from hybrid.format import parameters, printable
from hybrid.models.shapes import Shape
from hybrid.presentation.pairings.measured import NO_PROFILE, Measured, MeasuredPairs, place_of
from hybrid.presentation.pairings.sources import Device
from hybrid.schema import MODELS, Cell, Model, Phase
from hybrid.sizing import (
    MemoryEstimate,
    Pair,
    Predicted,
    Profile,
    Request,
    beyond,
    cost_per_million_tokens,
    memory_estimate,
    predict,
)

Source = Literal["measured", "predicted", "none"]
How = Literal["predicted", "extrapolated"]
NOT_SMALLER = "The SLM is not smaller than the LLM."


@dataclass(frozen=True)
class Times:
    """Seconds of one method on one request, the whole batch; medians where they were measured.

    tpot_s: per token after the first; None when there is none. repeats: end to end
    of each measured answer; empty when predicted.
    """

    total_s: float
    ttft_s: float
    tpot_s: float | None
    phases: Mapping[Phase, float]
    repeats: tuple[float, ...] = ()


@dataclass(frozen=True)
class PairCell:
    """One LLM with one SLM at one size.

    methods: empty where nothing is known, and `why` says so. why: besides, what
    to know of a cell. grid_id: where it was measured, else empty. needs: empty
    without a profile. how: its numbers were come by, if not measured.
    whose: the profile is when it is not this machine's own, else empty.
    """

    llm: Shape
    slm: Shape
    request: Request
    methods: Mapping[Model, Times] = field(default_factory=dict)
    grid_id: str = ""
    needs: Mapping[Model, MemoryEstimate] = field(default_factory=dict)
    why: str = ""
    how: How = "predicted"
    whose: str = ""

    @property
    def estimate(self) -> str:
        """`extrapolated from a profile of another machine`."""
        return f"{self.how} from a {self.whose}" if self.whose else self.how

    @property
    def source(self) -> Source:
        return "measured" if self.grid_id else "predicted" if self.methods else "none"

    @property
    def repeats(self) -> int:
        """Measured answers of each method; 0 when predicted."""
        return len(self.methods["hybrid"].repeats) if self.methods else 0

    @property
    def speedup(self) -> float | None:
        """The LLM's latency end to end over the hybrid's."""
        return self.methods["llm"].total_s / self.methods["hybrid"].total_s if self.methods else None

    @property
    def speedup_per_token(self) -> float | None:
        """The same of the time per token after the first; None when there is none."""
        if not self.methods:
            return None
        llm, hybrid = (self.methods[method].tpot_s for method in ("llm", "hybrid"))
        return llm / hybrid if llm and hybrid else None

    @property
    def spread(self) -> tuple[float, float] | None:
        """Least and greatest speed-up of the repeats, each with the LLM's of the same turn."""
        if not self.repeats:
            return None
        both = zip(self.methods["llm"].repeats, self.methods["hybrid"].repeats, strict=False)
        ratios = [llm / hybrid for llm, hybrid in both if hybrid > 0]
        return (min(ratios), max(ratios)) if ratios else None

    @property
    def names(self) -> str:
        """`t5-v1_1-large 783M with t5-small 61M`, and which layers a hybrid reads where not all."""
        read = f", the hybrid reads {self.llm.reading}" if self.llm.reading else ""
        return f"{sized(self.llm)} with {sized(self.slm)}{read}"

    def cost(self, method: Model, price_per_hour: float) -> float | None:
        """Of a million output tokens, predicted or measured."""
        if method not in self.methods:
            return None
        return cost_per_million_tokens(self.methods[method].total_s, self.request, price_per_hour)


def sized(shape: Shape) -> str:
    """`t5-v1_1-large 783M`; plain text on one line."""
    return f"{printable(shape.name)} {parameters(shape.parameters)}"


def by_size(shapes: Iterable[Shape]) -> list[Shape]:
    """Put the smallest first."""
    return sorted(shapes, key=lambda shape: (shape.parameters, shape.name))


def pair_cells(
    device: Device, measured: MeasuredPairs, llms: Sequence[Shape], slms: Sequence[Shape], request: Request
) -> tuple[PairCell, ...]:
    """Every LLM with every SLM, by size: rows of LLMs, in them SLMs."""
    pairs = [Pair(llm, slm) for llm in by_size(llms) for slm in by_size(slms)]
    return tuple(pair_cell(device, measured, pair, request) for pair in pairs)


def pair_cell(device: Device, measured: MeasuredPairs, pair: Pair, request: Request) -> PairCell:
    """One of them: measured, else predicted, else why not."""
    if pair.slm.parameters >= pair.llm.parameters:
        return PairCell(pair.llm, pair.slm, request, why=NOT_SMALLER)
    place = place_of(pair.llm.name, pair.slm.name, request)
    reason = measured.left_out.get(place, "")
    memory = _needs(device.profile, pair, request)
    if cells := measured.pairs.get(place):
        return PairCell(pair.llm, pair.slm, request, _measured(cells), cells.grid_id, memory)
    if device.profile is None:
        return PairCell(pair.llm, pair.slm, request, why=reason or f"It was not measured. {NO_PROFILE}")
    try:
        predictions = predict(pair, request, device.profile)
    except InputError as error:
        return PairCell(pair.llm, pair.slm, request, needs=memory, why=printable(str(error), 300))
    methods = {method: _predicted(prediction) for method, prediction in predictions.items()}
    how: How = "extrapolated" if beyond(device.profile, request, pair) else "predicted"
    return PairCell(
        pair.llm, pair.slm, request, methods, needs=memory, why=reason, how=how, whose=device.whose
    )


def _predicted(prediction: Predicted) -> Times:
    return Times(prediction.total_s, prediction.ttft_s, prediction.tpot_s, dict(prediction.phases))


def _measured(measured: Measured) -> dict[Model, Times]:
    cells: dict[Model, Cell | None] = {"llm": measured.llm, "slm": measured.slm, "hybrid": measured.hybrid}
    return {method: _times(cell) for method in MODELS if (cell := cells[method]) is not None}


def _times(cell: Cell) -> Times:
    tpot = median(cell.tpot_s) if cell.tpot_s else None
    return Times(cell.median_total_s, cell.median_ttft_s, tpot, cell.median_phases_s, cell.total_s)


def _needs(profile: Profile | None, pair: Pair, request: Request) -> dict[Model, MemoryEstimate]:
    if profile is None:
        return {}
    return {method: memory_estimate(method, pair, request, profile) for method in MODELS}
