"""What a cell of the map says: one number to show, its words, the lines behind it, its row in the table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from hybrid.compare.verdict import ONE_SEED
from hybrid.format import (
    amount,
    capitalized,
    counted,
    milliseconds,
    percent,
    price_per_hour,
    printable,
    ratio,
    size,
)
from hybrid.models.shapes import Shape
from hybrid.presentation.pairings.cells import PairCell, Source, Times, sized
from hybrid.presentation.pairings.measured import Quality
from hybrid.presentation.pairings.sources import Device
from hybrid.schema import Model
from hybrid.sizing import MemoryEstimate
from hybrid.store.tables import Cell, Table

NOT_TRAINED = "Not trained: there are no weights of this pair, so it has no quality."
NO_RUN = "No complete run of this pair and its weights is stored, so its quality is not known."
NO_MEMORY = "Memory is computed for a profile's precision, and there is no profile of this device."
SHORT = "A single token has no time per token."
OWN = "this machine's profile"


@dataclass(frozen=True)
class Terms:
    """What a number depends on beside the cell. price: of an hour.

    quality: of each trained pair, by the names of LLM and SLM; None where no run has it.
    """

    price: float
    quality: Mapping[tuple[str, str], Quality | None] = field(default_factory=dict)

    def trained(self, cell: PairCell) -> bool:
        """Whether the cell's pair is here with its weights."""
        return (cell.llm.name, cell.slm.name) in self.quality

    def of(self, cell: PairCell) -> Quality | None:
        """Give the pair's own; None for all that are not trained."""
        return self.quality.get((cell.llm.name, cell.slm.name))


@dataclass(frozen=True)
class CellMetric:
    """One number of a cell. scale: a Kind of charts.pairings. says: what it is, within a sentence."""

    label: str
    scale: Literal["ratio", "share", "amount"]
    says: str
    number: Callable[[PairCell, Terms], float | None]
    words: Callable[[float], str]


def _memory(cell: PairCell, _: Terms) -> float | None:
    return float(cell.needs["hybrid"].total) if cell.methods and cell.needs else None


def _kept(cell: PairCell, terms: Terms) -> float | None:
    quality = terms.of(cell)
    return quality.quality_kept if quality else None


CELL_METRICS: Mapping[str, CellMetric] = {
    "speedup": CellMetric(
        "Speed-up", "ratio", "the LLM's time over the hybrid's, end to end",
        lambda cell, _: cell.speedup, ratio,
    ),
    "per-token": CellMetric(
        "Speed-up per token", "ratio", "the LLM's time per token over the hybrid's, after the first token",
        lambda cell, _: cell.speedup_per_token, ratio,
    ),
    "cost": CellMetric(
        "Cost", "amount", "the hybrid's cost of a million output tokens",
        lambda cell, terms: cell.cost("hybrid", terms.price), amount,
    ),
    "memory": CellMetric(
        "Memory", "amount", "the hybrid's weights and caches, computed from sizes", _memory, size
    ),
    "quality": CellMetric(
        "Quality kept", "share", "the part of its LLM's quality that the hybrid keeps", _kept,
        lambda share: percent(share, 1),
    ),
}  # fmt: skip


def at_price(terms: Terms) -> str:
    """`on a machine that costs 2.5 an hour, in your currency`."""
    return f"on a machine that costs {price_per_hour(terms.price)}"


def tick(show: str, value: float) -> str:
    """Format a round value of a scale: `0.062×`, `1×`, `16×`, `90 %`."""
    if CELL_METRICS[show].scale == "share":
        return percent(value)
    if CELL_METRICS[show].scale == "amount":
        return CELL_METRICS[show].words(value)
    return f"{value:,.0f}×" if value >= 1 else f"{value:.2g}×"


def cell_source(show: str, cell: PairCell, terms: Terms) -> Source:
    """How a cell is drawn: quality is only ever measured, memory never."""
    if CELL_METRICS[show].number(cell, terms) is None:
        return "none"
    return _SOURCES.get(show, cell.source)


def on_cell(show: str, cell: PairCell, terms: Terms) -> str:
    """Tell what is written on a cell: its number, `≈` before it when nobody measured it."""
    value, how = CELL_METRICS[show].number(cell, terms), cell_source(show, cell, terms)
    if value is None:
        return "not trained" if show == "quality" and not terms.trained(cell) else ""
    return f"{'≈' * (how == 'predicted')}{CELL_METRICS[show].words(value)}"


def why_none(show: str, cell: PairCell, terms: Terms) -> str:
    """Why a cell shows no number; empty when it does."""
    if CELL_METRICS[show].number(cell, terms) is not None:
        return ""
    if show == "quality":
        return NO_RUN if terms.trained(cell) else NOT_TRAINED
    if not cell.methods:
        return cell.why
    return {"memory": NO_MEMORY, "per-token": SHORT}.get(show, "It cannot be told.")


def lines(show: str, cell: PairCell, terms: Terms) -> tuple[str, ...]:
    """Tell what stands behind a cell, a line each; plain text, names from elsewhere in it."""
    texts = [cell.names]
    if reason := why_none(show, cell, terms):
        texts.append(reason)
    if cell.methods:
        texts += [_origin(cell), _speeds(cell)]
        texts += [f"{name}: {_times(cell.methods[key])}" for key, name in _NAMED.items()]
        costs = _both(cell, lambda method: amount(cell.cost(method, terms.price) or 0))
        texts.append(f"A million output tokens cost: {costs}, {at_price(terms)}")
    if cell.methods and cell.needs:
        texts.append(f"Memory: {_both(cell, lambda method: size(cell.needs[method].total))}")
    if quality := terms.of(cell):
        texts.append(f"Quality: {printable(quality.sentence, 300)}")
    if cell.why and cell.why != reason:
        texts.append(cell.why)
    return tuple(texts)


def sentence(show: str, device: Device, cells: Sequence[PairCell], terms: Terms) -> str:
    """Tell what the map shows, with numbers; plain text, names from elsewhere in it."""
    chosen = CELL_METRICS[show]
    valued = [(value, cell) for cell in cells if (value := chosen.number(cell, terms)) is not None]
    request = cells[0].request
    head = f"{chosen.label}: {chosen.says}"
    if show != "quality":
        prompts, tokens = counted(request.batch, "prompt"), counted(request.output, "token")
        head += f", on {device.label}; {prompts} of {request.prompt:,} tokens, answers of {tokens}"
    if not valued:
        pairs = counted(len(cells), "pair")
        return f"{head}. None of these {pairs} has a number here: point at a cell for why."
    least, lower = min(valued, key=lambda pair: pair[0])
    most, upper = max(valued, key=lambda pair: pair[0])
    spread = f"{chosen.words(least)} ({sized(lower.llm)} with {sized(lower.slm)})"
    if len(valued) > 1:
        spread = f"from {spread} to {chosen.words(most)} ({sized(upper.llm)} with {sized(upper.slm)})"
    return f"{head}: {spread}. {_sources(show, cells, terms)}"


def table(device: Device, cells: Sequence[PairCell], terms: Terms) -> Table:
    """Give a row for each cell, whatever is shown of it."""
    return Table(COLUMNS, [_row(device, cell, terms) for cell in cells])


COLUMNS: Mapping[str, str] = {
    "llm": "reads, and is the baseline",
    "llm_parameters": "of the whole model",
    "llm_layers_read": "by the hybrid, such as 10+20, counted from 1; empty where all are",
    "slm": "writes",
    "slm_parameters": "of the whole model",
    "device_name": "where", "engine": "what ran, or would run, the models", "dtype": "precision",
    "batch": "prompts at once", "prompt_tokens": "of each prompt", "output_tokens": "of each answer",
    "source": "measured GRID, predicted, or extrapolated; empty when nothing is known",
    "profile": "whose it is where nothing was measured",
    "repeats": "measured answers of each method; 0 when predicted",
    "speedup": "LLM's latency end to end over the hybrid's, medians where measured",
    "speedup_least": "of the repeats; empty when predicted",
    "speedup_most": "of the repeats; empty when predicted",
    "speedup_per_token": "LLM's time per token over the hybrid's, after the first token",
    "llm_total_ms": "end to end, the whole batch",
    "slm_total_ms": "end to end, the whole batch; empty when not measured",
    "hybrid_total_ms": "end to end, the whole batch",
    "llm_ttft_ms": "time to first token",
    "hybrid_ttft_ms": "time to first token",
    "llm_cost": "of a million output tokens, in the currency of price_per_hour",
    "hybrid_cost": "of a million output tokens, in the currency of price_per_hour",
    "price_per_hour": "of the machine",
    "llm_memory_bytes": "weights and caches, computed from sizes",
    "hybrid_memory_bytes": "weights and caches, computed from sizes",
    "quality_kept": "hybrid's quality over the LLM's, 0 to 1; only of pairs that are trained",
    "quality_metric": "of which score", "quality_run": "in which run",
    "note": "why there is no number, or what to know of it",
}  # fmt: skip
_NAMED: Mapping[Model, str] = {"llm": "LLM", "hybrid": "Hybrid"}
_SOURCES: Mapping[str, Source] = {"quality": "measured", "memory": "predicted"}


def _row(device: Device, cell: PairCell, terms: Terms) -> list[Cell]:
    request, methods, quality = cell.request, cell.methods, terms.of(cell)
    least, most = cell.spread or (None, None)
    return [
        *_names(cell.llm), "+".join(map(str, cell.llm.read_layers)), *_names(cell.slm),
        device.environment.device_name, device.engine, device.dtype,
        request.batch, request.prompt, request.output,
        f"measured {cell.grid_id}" if cell.grid_id else cell.how if methods else "",
        "" if cell.grid_id or not methods else cell.whose or OWN, cell.repeats,
        cell.speedup, least, most, cell.speedup_per_token,
        *(methods[name].total_s * 1e3 if name in methods else None for name in ("llm", "slm", "hybrid")),
        *(methods[name].ttft_s * 1e3 if name in methods else None for name in ("llm", "hybrid")),
        cell.cost("llm", terms.price), cell.cost("hybrid", terms.price), terms.price,
        *(_bytes(cell.needs.get(name)) for name in ("llm", "hybrid")),
        quality.quality_kept if quality else None, quality.metric if quality else "",
        quality.entry.run_id if quality else "",
        cell.why,
    ]  # fmt: skip


def _names(shape: Shape) -> tuple[str, int]:
    return shape.name, shape.parameters


def _bytes(memory: MemoryEstimate | None) -> int | None:
    return memory.total if memory else None


def _origin(cell: PairCell) -> str:
    if not cell.grid_id:
        return f"≈ {capitalized(cell.how)} from {f'a {cell.whose}' if cell.whose else OWN}, not measured"
    return f"Measured in grid {cell.grid_id}: medians of {cell.repeats} repeats, weights random"


def _speeds(cell: PairCell) -> str:
    text = f"Speed-up end to end {ratio(cell.speedup or 0)}"
    if cell.spread:
        text += f" ({spread_words(cell)})"
    return text + (f", per token {ratio(cell.speedup_per_token)}" if cell.speedup_per_token else "")


def spread_words(cell: PairCell) -> str:
    """`3 repeats from 4.2× to 4.4×`; empty where nothing was measured."""
    if not cell.spread:
        return ""
    return f"{counted(cell.repeats, 'repeat')} from {ratio(cell.spread[0])} to {ratio(cell.spread[1])}"


def _times(times: Times) -> str:
    phases = ", ".join(f"{phase} {milliseconds(seconds)}" for phase, seconds in times.phases.items())
    return f"{milliseconds(times.total_s)} = {phases}"


def _both(cell: PairCell, words: Callable[[Model], str]) -> str:
    return ", ".join(f"{name} {words(key)}" for key, name in _NAMED.items())


def _sources(show: str, cells: Sequence[PairCell], terms: Terms) -> str:
    """How many cells are which, and what to know of them."""
    sources = [cell_source(show, cell, terms) for cell in cells]
    blank = sources.count("none")
    are = "is" if blank == 1 else "are"
    tail = f" {counted(blank, 'cell')} {are} blank: point at one for why." if blank else ""
    if show == "quality":
        known = [quality for cell in cells if (quality := terms.of(cell))]
        runs = "".join(f"{printable(quality.sentence, 300)}. {ONE_SEED} " for quality in known)
        return f"{runs}Never predicted: every other pair is not trained.{tail}"
    if show == "memory":
        return f"Not measured: an engine takes more than this.{tail}"
    measured, predicted = sources.count("measured"), sources.count("predicted")
    parts = []
    if measured:
        repeats = " or ".join(str(n) for n in sorted({cell.repeats for cell in cells if cell.grid_id}))
        grids = ", ".join(sorted({cell.grid_id for cell in cells if cell.grid_id}))
        parts.append(
            f"{counted(measured, 'cell')} measured (medians of {repeats} repeats in grid {grids}; "
            "weights: random, so speed only, no quality)"
        )
    if predicted:
        guess = next(cell for cell in cells if cell.source == "predicted")
        whose = f"a {guess.whose}" if guess.whose else "the profile"
        parts.append(f"{counted(predicted, 'cell')} ≈ {guess.how} from {whose}")
    return f"{'; '.join(parts)}.{tail}"
