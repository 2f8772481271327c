"""What was measured of pairs: latencies by size in a device's grids, and the quality of a trained pair.

What is damaged or another engine's is left out. Quality is only of what was trained and run; nothing about
it is ever predicted.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hybrid.compare.paired import quality_ratio
from hybrid.errors import PairError, StoreError
from hybrid.format import difference, percent, printable
from hybrid.measuring.hardware import unlike
from hybrid.metrics import main_metric
from hybrid.models.manifest import MANIFEST, file_sha256, find_pair
from hybrid.models.shapes import Shape
from hybrid.presentation.pairings.sources import Device, same_sizes, sound
from hybrid.presentation.runs.catalog import Entry
from hybrid.presentation.runs.digest import RunDigest, number
from hybrid.schema import BASELINE, Cell, Environment, Grid, System
from hybrid.sizing import Request, error_report
from hybrid.store.grids import StoredGrid, load_grid

Place = tuple[str, str, int, int, int]  # LLM, SLM, batch, tokens of each prompt, of each answer
NO_PROFILE = (
    "There is no profile of this device, so only what was measured is shown. "
    "`hybrid device` makes one there, in half a minute; all other sizes are predicted from it."
)
NO_GRID = (
    "There is no stored grid for this profile, so how far these predictions are off is not known; "
    "`hybrid latency` makes one."
)

SYSTEM = System("hybrid")
LOOKED_AT = 4  # runs at the most, until one is of these weights


@dataclass(frozen=True)
class Measured:
    """One pair at one size, all of one grid. slm: None where the grid does not have it."""

    grid_id: str
    llm: Cell
    hybrid: Cell
    slm: Cell | None


@dataclass(frozen=True)
class MeasuredPairs:
    """pairs: of the newest grid that has them. left_out: why a cell that is stored is not in `pairs`.

    newest: the newest grid with its sound cells; None when there is no grid. problems: a sentence each.
    """

    pairs: Mapping[Place, Measured] = field(default_factory=dict)
    left_out: Mapping[Place, str] = field(default_factory=dict)
    newest: StoredGrid | None = None
    problems: tuple[str, ...] = ()

    def along(self, llm: str, slm: str, request: Request, axis: str) -> dict[int, Measured]:
        """Tell what was measured of a pair by the length of prompts or answers, all else as in `request`."""
        by_length = {}
        for place, measured in self.pairs.items():
            at = Request(batch=place[2], prompt=place[3], output=place[4])
            length: int = getattr(at, axis)
            if place[:2] == (llm, slm) and replace(at, **{axis: getattr(request, axis)}) == request:
                by_length[length] = measured
        return dict(sorted(by_length.items()))


def place_of(llm: str, slm: str, request: Request) -> Place:
    return llm, slm, request.batch, request.prompt, request.output


def measured_pairs(device: Device, shapes: Mapping[str, Shape], root: Path | None = None) -> MeasuredPairs:
    """Read the device's grids. shapes: what names mean here; a grid that means others is not used."""
    pairs: dict[Place, Measured] = {}
    left_out: dict[Place, str] = {}
    problems: list[str] = []
    newest: StoredGrid | None = None
    for grid in device.grids:
        try:
            stored = load_grid(grid.grid_id, root)
        except StoreError as error:
            problems.append(str(error))
            continue
        problems += stored.problems
        shapes_here = ((name, _name_today(name, row, shapes)) for name, row in stored.grid.shapes.items())
        names = {name: today for name, today in shapes_here if today}
        sane = replace(stored, cells=tuple(_sound(stored, names, problems)))
        newest = newest or sane
        for place, measured in _pairs(sane):
            place = names[place[0]], names[place[1]], *place[2:]
            cells = (measured.llm, measured.hybrid)
            reasons = (printable(cell.options.get("fallback", ""), 200) for cell in cells)
            if reason := next(filter(None, reasons), ""):
                other = f"another engine answered for {printable(device.engine)}: {reason}"
                left_out.setdefault(place, f"Grid {grid.grid_id} has it, but {other}.")
            else:
                pairs.setdefault(place, measured)
    return MeasuredPairs(pairs, left_out, newest, tuple(problems))


def error_sentence(device: Device, measured: MeasuredPairs) -> str:
    """How far the device's predictions are from what its newest grid measured."""
    if device.profile is None:
        return NO_PROFILE
    if device.stranger:
        return device.stranger.sentence
    report = error_report(measured.newest, device.profile) if measured.newest else None
    if report is None:
        return NO_GRID
    phases = "; ".join(
        f"{phase} {percent(error.median)} and {percent(error.p90)}" for phase, error in report.phases.items()
    )
    return (
        f"How far predictions are off, on {report.total.n} measured cells of grid {report.grid_id} (LLM, SLM "
        f"and hybrid): end to end by {percent(report.total.median)} (median) and "
        f"{percent(report.total.p90)} (90th percentile), either way. By phase, the same two: {phases}."
    )


def _sound(stored: StoredGrid, names: Collection[str], problems: list[str]) -> Iterator[Cell]:
    """Cells whose sizes are known, by `names`, and that took any time, on the grid's own device."""
    grid, strange = stored.grid, set()
    for cell in stored.cells:
        unknown = {name for name in (cell.llm, cell.slm) if name is not None}.difference(names)
        strange |= unknown
        moved = cell.environment is not None and _moved(grid.environment, cell.environment)
        if not unknown and not moved and cell.median_total_s > 0:
            yield cell
    problems += [_strange(grid, name) for name in sorted(strange)]


def _moved(before: Environment, now: Environment) -> bool:
    """Tell whether a resumed grid went on, as far as can be told, on another machine."""
    return before.device_name != now.device_name or unlike(before.hardware, now.hardware) is not None


def _strange(grid: Grid, name: str) -> str:
    what = "means another model by it" if name in grid.shapes else "does not say its sizes"
    return f"Cells of {printable(name)} are left out: grid {grid.grid_id} {what}."


def _name_today(name: str, row: Mapping[str, object], shapes: Mapping[str, Shape]) -> str:
    """Return what a grid's shape is called now, empty when it is not here.

    bundled-slm of a grid is PAIR/slm, its source, once another pair is the first.
    """
    for known in (name, str(row.get("source"))):
        try:
            if known in shapes and same_sizes(sound(row, name), shapes[known]):
                return known
        except (ValueError, TypeError):
            break
    return ""


def _pairs(stored: StoredGrid) -> Iterator[tuple[Place, Measured]]:
    """Every hybrid of which the LLM was measured at the same size, too."""
    by_key = {cell.key: cell for cell in stored.cells}
    for cell in stored.cells:
        size = cell.batch, cell.prompt_tokens, cell.output_tokens
        llm = by_key.get(("llm", cell.llm, None, *size))
        if cell.method == "hybrid" and cell.llm and cell.slm and llm is not None:
            slm = by_key.get(("slm", None, cell.slm, *size))
            yield (cell.llm, cell.slm, *size), Measured(stored.grid.grid_id, llm, cell, slm)


@dataclass(frozen=True)
class Quality:
    """What the hybrid keeps of its LLM's quality in one run.

    quality_kept: 1 is all of it. value: the difference in points of `metric`; low, high: its interval.
    """

    entry: Entry
    metric: str
    quality_kept: float
    value: float
    low: float | None
    high: float | None
    n: int

    @property
    def sentence(self) -> str:
        """Plain text; names from elsewhere in it."""
        entry = self.entry
        return (
            f"{percent(self.quality_kept, 1)} of the LLM's {self.metric} kept ({difference(self, 'points')}, "
            f"n = {self.n}) on {entry.suite}, {entry.engines[0]} in {entry.dtype} on {entry.device_name}, "
            f"run {entry.run_id}"
        )


def trained_pairs(shapes: Mapping[str, Shape]) -> dict[tuple[str, str], str]:
    """Name the pairs that are here with their weights, by the names of their LLM and SLM."""
    pairs = {}
    for llm, shape in shapes.items():
        pair, _, role = shape.source.rpartition("/")
        slm = f"{llm.removesuffix('llm')}slm"
        if role == "llm" and slm in shapes and shapes[slm].source == f"{pair}/slm":
            pairs[llm, slm] = pair
    return pairs


def quality_runs(entries: Sequence[Entry], shapes: Mapping[str, Shape]) -> list[Entry]:
    """Complete runs of trained pairs that carry quality, in the order of the entries."""
    pairs = set(trained_pairs(shapes).values())
    return [
        entry for entry in entries
        if entry.pair in pairs and entry.complete and not entry.fixed_length
        and {SYSTEM, BASELINE} <= set(entry.systems)
    ]  # fmt: skip


def quality(
    runs: Sequence[Entry], device: Device, pair: str, digest: Callable[[str], RunDigest]
) -> Quality | None:
    """Of the newest run in the device's engine and precision, or the newest of all; None without one.

    runs: of one suite, from quality_runs(); other pairs' are passed over, and those of other weights under
    the same name. digest: may raise StoreError; then the run is passed over.
    """
    try:
        weights = file_sha256(find_pair(pair)[0] / MANIFEST)
    except (OSError, PairError):
        return None
    here = device.engine, device.dtype, device.environment.device_name
    own = [entry for entry in runs if entry.pair == pair]
    alike = sorted(own, key=lambda entry: (entry.engines[0], entry.dtype, entry.device_name) != here)
    for entry in alike[:LOOKED_AT]:
        try:
            run_digest = digest(entry.run_id)
        except StoreError:
            continue
        if of_run := _quality(entry, run_digest, weights):
            return of_run
    return None


def _quality(entry: Entry, run_digest: RunDigest, weights: str) -> Quality | None:
    main = main_metric(entry.task)
    metric = main.name
    row, base = run_digest.rows.get(SYSTEM, {}), run_digest.rows.get(BASELINE, {})
    score, base_score, change = number(row, metric), number(base, metric), number(row, f"{metric}_vs_llm")
    if row.get("weights_sha256") != weights or score is None or base_score is None or change is None:
        return None
    share = quality_ratio(main.higher_is_better, score, base_score)
    if share is None:
        return None
    ends = number(row, f"{metric}_vs_llm_low"), number(row, f"{metric}_vs_llm_high")
    return Quality(entry, main.label, share, change, *ends, n=int(number(row, "n") or 0))
