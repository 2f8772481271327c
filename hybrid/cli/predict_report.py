"""What `hybrid predict` prints; every number of it is predicted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hybrid.engines.registry import spec_of
from hybrid.format import capitalized, counted, milliseconds, parameters, percent, ratio, size
from hybrid.models.shapes import Shape
from hybrid.schema import PHASES, Model
from hybrid.sizing import (
    BreakEven,
    ErrorReport,
    MemoryEstimate,
    Pair,
    Predicted,
    Profile,
    Request,
    Spread,
    Stranger,
    beyond,
    break_even,
    cost_per_million_tokens,
    error_report,
    fitting_grid,
    memory_estimate,
    predict,
    stranger,
)

BASELINE: Model = "llm"
NO_GRID = (
    "There is no stored grid for this profile, so how far these predictions are off is not known; "
    "`hybrid latency` makes one."
)
Row = Mapping[str, str]


@dataclass(frozen=True)
class Outlook:
    """All that is said of one request.

    costs: per million output tokens; empty without a price. beyond: why it is extrapolated; empty when it is
    not. stranger: why the profile is not this machine's own. error: None where none is promised.
    """

    pair: Pair
    request: Request
    profile: Profile
    methods: Mapping[Model, Predicted]
    even: BreakEven
    needs: Mapping[Model, MemoryEstimate]
    costs: Mapping[Model, float]
    error: ErrorReport | None
    beyond: str = ""
    stranger: Stranger | None = None

    @classmethod
    def of(cls, pair: Pair, request: Request, profile: Profile, price_per_hour: float | None) -> "Outlook":
        """Predict. Raises InputError when a model cannot answer so, StoreError when no grid can be read."""
        methods = predict(pair, request, profile)
        price, foreign, outside = price_per_hour, stranger(profile), beyond(profile, request, pair)
        grid = None if foreign or outside else fitting_grid(profile)
        return cls(
            pair, request, profile, methods, break_even(pair, request, profile),
            needs={method: memory_estimate(method, pair, request, profile) for method in methods},
            costs={} if price is None else {
                method: cost_per_million_tokens(times.total_s, request, price)
                for method, times in methods.items()
            },
            error=error_report(grid, profile) if grid else None, beyond=outside, stranger=foreign,
        )  # fmt: skip

    @property
    def how(self) -> str:
        """Say how its numbers were come by: `predicted` or `extrapolated`."""
        return "extrapolated" if self.beyond else "predicted"

    def speedup(self, method: Model) -> float:
        """Divide the LLM's latency end to end by this one's."""
        return self.methods[BASELINE].total_s / self.methods[method].total_s


def as_object(outlook: Outlook) -> dict[str, Any]:
    """Give what --json prints."""
    methods = {
        method: {
            "phases_ms": {phase: seconds * 1e3 for phase, seconds in times.phases.items()},
            "total_ms": times.total_s * 1e3,
            "ttft_ms": times.ttft_s * 1e3,
            "tpot_ms": None if times.tpot_s is None else times.tpot_s * 1e3,
            "speedup": outlook.speedup(method),
            "weights_bytes": outlook.needs[method].weights,
            "caches_bytes": outlook.needs[method].caches,
            "cost_per_million_output_tokens": outlook.costs.get(method),
        }
        for method, times in outlook.methods.items()
    }
    return {
        "predicted": True,
        "extrapolated": outlook.beyond or None,
        "llm": outlook.pair.llm.name,
        "slm": outlook.pair.slm.name,
        "llm_layers_read": list(outlook.pair.llm.read_layers) or None,
        "request": asdict(outlook.request),
        "profile": outlook.profile.name,
        "own_machine": outlook.stranger is None,
        "not_own": None if outlook.stranger is None else outlook.stranger.sentence,
        "methods": methods,
        "break_even": {
            "output": outlook.even.output,
            "prompt": outlook.even.prompt,
            "sentences": list(outlook.even.sentences),
        },
        "error": None if outlook.error is None else asdict(outlook.error),
    }


def report(outlook: Outlook) -> Iterator[str]:
    """Lines of text."""
    pair, profile, request = outlook.pair, outlook.profile, outlook.request
    yield (
        f"{capitalized(outlook.how)}, not measured: {_sized(pair.llm)} and {_sized(pair.slm)}, "
        f"{counted(request.batch, 'prompt')} of {counted(request.prompt, 'token')}, "
        f"answered with {counted(request.output, 'token')} each."
    )
    if pair.llm.reading:
        yield f"The hybrid reads {pair.llm.reading} of the LLM."
    name = profile.name + (f" ({outlook.stranger.label})" if outlook.stranger else "")
    yield (
        f"Profile {name}: {profile.engine} on {profile.environment.device_name}, {profile.dtype}"
        + (f", {counted(profile.threads, 'thread')}." if profile.device == "cpu" else ".")
    )
    yield ""
    yield from _drawn([_row(outlook, method) for method in outlook.methods])
    yield ""
    yield from outlook.even.sentences
    if "hybrid" not in spec_of(profile.engine).methods:
        yield f"The engine {profile.engine} does not run hybrids; the line says what one would take in it."
    yield from _trust(outlook)


def _trust(outlook: Outlook) -> Iterator[str]:
    """Say how far the numbers can be relied on."""
    if outlook.beyond:
        yield outlook.beyond
    if outlook.stranger:
        yield outlook.stranger.sentence
    if outlook.error:
        yield _error(outlook.error)
    elif not (outlook.beyond or outlook.stranger):
        yield NO_GRID


def _row(outlook: Outlook, method: Model) -> Row:
    times, need = outlook.methods[method], outlook.needs[method]
    phases = {
        f"{phase} ms": milliseconds(times.phases[phase], "") for phase in PHASES if phase in times.phases
    }
    row = {
        f"≈ {outlook.how}": method,
        **{f"{phase} ms": phases.get(f"{phase} ms", "") for phase in PHASES if _any(outlook, phase)},
        "end to end ms": milliseconds(times.total_s, ""),
        "ms a token": milliseconds(times.tpot_s, ""),
        "speed-up": "baseline" if method == BASELINE else ratio(outlook.speedup(method)),
        "memory": size(need.total),
    }
    return row | ({"cost of 1M tokens": f"{outlook.costs[method]:,.2f}"} if outlook.costs else {})


def _any(outlook: Outlook, phase: str) -> bool:
    return any(phase in times.phases for times in outlook.methods.values())


def _error(errors: ErrorReport) -> str:
    phases = ", ".join(f"{phase} {_percent(spread)}" for phase, spread in errors.phases.items())
    return (
        f"Error of such predictions on grid {errors.grid_id}, measured with this engine on such a device: "
        f"end to end {_percent(errors.total)} ({counted(errors.total.n, 'cell')}); "
        f"{phases}. Median and 90th percentile, either way."
    )


def _percent(spread: Spread) -> str:
    return f"{percent(spread.median)} and {percent(spread.p90)}"


def _drawn(rows: Sequence[Row]) -> Iterator[str]:
    """Draw a table; the first column is text, the others are numbers."""
    headings = list(rows[0])
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in headings}
    for row in ({name: name for name in headings}, *rows):
        cells = [row[headings[0]].ljust(widths[headings[0]])]
        yield "  ".join(cells + [row[name].rjust(widths[name]) for name in headings[1:]])


def _sized(shape: Shape) -> str:
    return f"{shape.name} ({parameters(shape.parameters)})"
