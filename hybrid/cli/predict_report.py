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
        price, foreign, outside = price_per_hour, stranger(profile), beyond(profile, request)
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


def as_object(found: Outlook) -> dict[str, Any]:
    """Give what --json prints."""
    methods = {
        method: {
            "phases_ms": {phase: seconds * 1e3 for phase, seconds in one.phases.items()},
            "total_ms": one.total_s * 1e3,
            "ttft_ms": one.ttft_s * 1e3,
            "tpot_ms": None if one.tpot_s is None else one.tpot_s * 1e3,
            "speedup": found.speedup(method),
            "weights_bytes": found.needs[method].weights,
            "caches_bytes": found.needs[method].caches,
            "cost_per_million_output_tokens": found.costs.get(method),
        }
        for method, one in found.methods.items()
    }
    return {
        "predicted": True,
        "extrapolated": found.beyond or None,
        "llm": found.pair.llm.name,
        "slm": found.pair.slm.name,
        "request": asdict(found.request),
        "profile": found.profile.name,
        "own_machine": found.stranger is None,
        "not_own": None if found.stranger is None else found.stranger.sentence,
        "methods": methods,
        "break_even": {
            "output": found.even.output,
            "prompt": found.even.prompt,
            "sentences": list(found.even.sentences),
        },
        "error": None if found.error is None else asdict(found.error),
    }


def report(found: Outlook) -> Iterator[str]:
    """Lines of text."""
    profile, request = found.profile, found.request
    yield (
        f"{capitalized(found.how)}, not measured: {_sized(found.pair.llm)} and {_sized(found.pair.slm)}, "
        f"{counted(request.batch, 'prompt')} of {counted(request.prompt, 'token')}, "
        f"answered with {counted(request.output, 'token')} each."
    )
    name = profile.name + (f" ({found.stranger.label})" if found.stranger else "")
    yield (
        f"Profile {name}: {profile.engine} on {profile.environment.device_name}, {profile.dtype}"
        + (f", {counted(profile.threads, 'thread')}." if profile.device == "cpu" else ".")
    )
    yield ""
    yield from _drawn([_row(found, method) for method in found.methods])
    yield ""
    yield from found.even.sentences
    if "hybrid" not in spec_of(profile.engine).methods:
        yield f"The engine {profile.engine} does not run hybrids; the line says what one would take in it."
    yield from _trust(found)


def _trust(found: Outlook) -> Iterator[str]:
    """Say how far the numbers can be relied on."""
    if found.beyond:
        yield found.beyond
    if found.stranger:
        yield found.stranger.sentence
    if found.error:
        yield _error(found.error)
    elif not (found.beyond or found.stranger):
        yield NO_GRID


def _row(found: Outlook, method: Model) -> Row:
    one, need = found.methods[method], found.needs[method]
    phases = {f"{phase} ms": milliseconds(one.phases[phase], "") for phase in PHASES if phase in one.phases}
    row = {
        f"≈ {found.how}": method,
        **{f"{phase} ms": phases.get(f"{phase} ms", "") for phase in PHASES if _any(found, phase)},
        "end to end ms": milliseconds(one.total_s, ""),
        "ms a token": milliseconds(one.tpot_s, ""),
        "speed-up": "baseline" if method == BASELINE else ratio(found.speedup(method)),
        "memory": size(need.total),
    }
    return row | ({"cost of 1M tokens": f"{found.costs[method]:,.2f}"} if found.costs else {})


def _any(found: Outlook, phase: str) -> bool:
    return any(phase in one.phases for one in found.methods.values())


def _error(found: ErrorReport) -> str:
    phases = ", ".join(f"{phase} {_percent(spread)}" for phase, spread in found.phases.items())
    return (
        f"Error of such predictions on grid {found.grid_id}, measured with this engine on such a device: "
        f"end to end {_percent(found.total)} ({counted(found.total.n, 'cell')}); "
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
