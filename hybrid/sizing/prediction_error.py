"""How far predictions are from what was measured: a stored grid beside its predictions."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hybrid.models.shapes import Shape
from hybrid.schema import MODELS, PHASES, Cell, Device, Environment, Grid, Phase
from hybrid.sizing.prediction import Pair, Predicted, Request, beyond, predicted
from hybrid.sizing.profile import Profile
from hybrid.store.grids import StoredGrid, list_grids, load_grid
from hybrid.store.typed_json import convert

JUDGED: tuple[Phase, ...] = ("encode", "project", "prefill", "decode")


@dataclass(frozen=True)
class Spread:
    """Absolute relative errors, |predicted / measured - 1|. n: how many cells."""

    median: float
    p90: float
    n: int


@dataclass(frozen=True)
class ErrorReport:
    """Errors against the medians of a grid's cells. total: of requests end to end. phases: of each phase."""

    grid_id: str
    total: Spread
    phases: Mapping[Phase, Spread]


def error_report(stored: StoredGrid, profile: Profile) -> ErrorReport | None:
    """Compute the errors of a profile's predictions; None when the grid has no cell of llm, slm or hybrid."""
    totals: list[float] = []
    phases: dict[Phase, list[float]] = {}
    for cell, guess in _guesses(stored, profile):
        totals.append(abs(guess.total_s / cell.median_total_s - 1))
        medians = cell.median_phases_s
        for phase, seconds in told_apart(guess.phases, medians).items():
            if phase in JUDGED and medians[phase] > 0:
                phases.setdefault(phase, []).append(abs(seconds / medians[phase] - 1))
    if not totals:
        return None
    by_phase = {phase: _spread(phases[phase]) for phase in JUDGED if phase in phases}
    return ErrorReport(stored.grid.grid_id, _spread(totals), by_phase)


def told_apart(phases: Mapping[Phase, float], seen: Mapping[Phase, object]) -> dict[Phase, float]:
    """Predicted phases as an engine tells them apart: what it does not falls into the next that it does."""
    apart: dict[Phase, float] = {}
    carried = 0.0
    for phase in PHASES:
        carried += phases.get(phase, 0.0)
        if phase in seen:
            apart[phase], carried = carried, 0.0
    return apart


def fitting_grid(profile: Profile, root: Path | None = None) -> StoredGrid | None:
    """Return the newest grid that was measured as the profile was; None when there is none."""
    for grid in list_grids(root).grids:
        if fits(grid, profile):
            return load_grid(grid.grid_id, root)
    return None


def fits(grid: Grid, profile: Profile) -> bool:
    """Whether both are of one engine on the same machine, run alike."""
    return all(
        getattr(grid, name) == getattr(profile, name) for name in ("engine", "dtype", "threads")
    ) and _place(grid.device, grid.environment, grid.engine_options) == _place(
        profile.device, profile.environment, profile.options
    )


def _place(device: Device, environment: Environment, options: Mapping[str, str]) -> tuple[object, ...]:
    return device.kind, environment.device_name, environment.hardware, dict(options)


def _guesses(stored: StoredGrid, profile: Profile) -> Iterator[tuple[Cell, Predicted]]:
    """Cells of llm, slm and hybrid with what is predicted for them.

    Not where another engine has answered, nor beyond what the profile was measured at, where nothing is
    promised.
    """
    shapes = _sound_shapes(stored.grid)
    for cell in stored.cells:
        names = cell.llm or cell.slm, cell.slm or cell.llm  # what a method does without may be any
        if cell.method not in MODELS or "fallback" in cell.options or not shapes.keys() >= {*names}:
            continue
        pair = Pair(*(shapes[name] for name in names if name))
        request = Request(cell.prompt_tokens, cell.output_tokens, cell.batch)
        if not beyond(profile, request, pair):
            yield cell, predicted(cell.method, pair, request, profile)


def _sound_shapes(grid: Grid) -> dict[str, Shape]:
    """Return the grid's shapes that are not damaged, by name."""
    shapes = {}
    for name, sizes in grid.shapes.items():
        with suppress(ValueError, TypeError):
            shapes[name] = convert(Shape, sizes)
    return shapes


def _spread(errors: Sequence[float]) -> Spread:
    ordered = sorted(errors)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]

    return Spread(at(0.5), at(0.9), len(ordered))
