"""The nouns of a grid of latencies, and how they are written as JSON lines.

Objects hold seconds, files hold microseconds with one decimal. Bytes that are
not what they should be raise ValueError.
"""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from hybrid.schema import METHODS, PHASES, Device, Environment, Phase
from hybrid.store.codec import plain
from hybrid.store.typed import build

FORMAT = 1

# Method, LLM, SLM, batch, tokens of the prompt, of the answer: what a grid holds once. A method that
# does not need one of the models has None in its place.
Key = tuple[str, str | None, str | None, int, int, int]


@dataclass(frozen=True)
class Grid:
    """What a grid is asked for, and where it is measured: the first line of its file.

    llms, slms: names of shapes; all pairs of them are meant. methods: of
    METHODS. batches, prompts, outputs: prompts at once, tokens of each, tokens
    of each answer; all combinations are meant. repeats: measured answers of a
    cell. shapes: the sizes behind each name. weights: always "random".
    """

    grid_id: str
    llms: tuple[str, ...]
    slms: tuple[str, ...]
    methods: tuple[str, ...]
    batches: tuple[int, ...]
    prompts: tuple[int, ...]
    outputs: tuple[int, ...]
    repeats: int
    engine: str
    device: Device
    dtype: str
    threads: int
    environment: Environment
    created_at: str
    engine_options: Mapping[str, str] = field(default_factory=dict)
    shapes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    weights: str = "random"

    @property
    def product(self) -> str:
        """Version of the product that began it."""
        return self.environment.product


@dataclass(frozen=True)
class Cell:
    """One method at one size. Times are in seconds, one for each repeat, in the order of measuring.

    llm, slm: names of shapes, None where the method does without.
    phases_s: by phase; their sum is the end-to-end latency of the batch.
    ttft_s: to the first token. tpot_s: per token after it; empty when there is one.
    drafted, accepted: ids of all answers, of lossless methods; else empty.
    options: what the engine says of itself, such as why another one answered for it.
    environment: where it was measured, None for the grid's own.
    """

    method: str
    llm: str | None
    slm: str | None
    batch: int
    prompt_tokens: int
    output_tokens: int
    started_at: str
    phases_s: Mapping[Phase, tuple[float, ...]]
    ttft_s: tuple[float, ...]
    tpot_s: tuple[float, ...] = ()
    drafted: tuple[int, ...] = ()
    accepted: tuple[int, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    environment: Environment | None = None

    @property
    def key(self) -> Key:
        """What a grid holds once."""
        return self.method, self.llm, self.slm, self.batch, self.prompt_tokens, self.output_tokens

    @property
    def total_s(self) -> tuple[float, ...]:
        """End-to-end latency of each repeat."""
        return tuple(map(sum, zip(*self.phases_s.values(), strict=True)))

    @property
    def median_total_s(self) -> float:
        return statistics.median(self.total_s)

    @property
    def median_ttft_s(self) -> float:
        return statistics.median(self.ttft_s)

    @property
    def median_tpot_s(self) -> float | None:
        """None when only one token was written."""
        return statistics.median(self.tpot_s) if self.tpot_s else None

    @property
    def median_phases_s(self) -> dict[Phase, float]:
        """By phase. Medians of parts need not sum to the median of the whole."""
        return {phase: statistics.median(times) for phase, times in self.phases_s.items()}


def encode_grid(grid: Grid) -> bytes:
    return _line({"format": FORMAT, **plain(grid)})


def decode_grid(line: bytes) -> Grid:
    """Raises ValueError for what is no header of this format."""
    row = _object(line)
    if (found := row.get("format")) != FORMAT:
        raise ValueError(f"it has format {found!r} and this version reads {FORMAT}")
    shapes = row.pop("shapes", {})
    if not isinstance(shapes, dict) or not all(isinstance(sizes, dict) for sizes in shapes.values()):
        raise ValueError("shapes is not an object of objects")
    return replace(build(Grid, row), shapes=shapes)


def encode_cell(cell: Cell) -> bytes:
    """One line; seconds become microseconds with one decimal."""
    row = plain(cell)
    phases = cast(Mapping[str, Sequence[float]], row.pop("phases_s"))
    row["phases_us"] = {phase: _microseconds(times) for phase, times in phases.items()}
    for name in ("ttft", "tpot"):
        row[f"{name}_us"] = _microseconds(cast(Sequence[float], row.pop(f"{name}_s")))
    return _line({name: value for name, value in row.items() if value or name in ("llm", "slm")})


def decode_cell(line: bytes) -> Cell:
    """Raises ValueError for what is no cell; fields that are not known are let pass."""
    row = _object(line)
    try:
        row["phases_s"] = {phase: _seconds(times) for phase, times in row["phases_us"].items()}
        row["ttft_s"], row["tpot_s"] = _seconds(row["ttft_us"]), _seconds(row.get("tpot_us", ()))
    except KeyError as error:
        raise ValueError(f"{error.args[0]} is missing") from error
    except (TypeError, AttributeError) as error:
        raise ValueError(f"a field has a wrong type ({error})") from error
    cell = build(Cell, row)
    _check(cell)
    return cell


def _check(cell: Cell) -> None:
    """Raise ValueError for what Cell's types leave open in a file."""
    if cell.method not in METHODS:
        raise ValueError(f"method is {cell.method!r}, not one of {', '.join(METHODS)}")
    if not cell.phases_s or not cell.phases_s.keys() <= set(PHASES):
        raise ValueError(f"phases_us names other phases than {', '.join(PHASES)}, or none")
    times = [s for several in (cell.ttft_s, cell.tpot_s, *cell.phases_s.values()) for s in several]
    if not all(0 <= s < math.inf for s in times):
        raise ValueError("one of its times is no time")
    lengths = {len(several) for several in (cell.ttft_s, *cell.phases_s.values())}
    lengths |= {len(values) for values in (cell.tpot_s, cell.drafted, cell.accepted) if values}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"its lists have {' and '.join(map(str, sorted(lengths)))} repeats")
    if min(cell.batch, cell.prompt_tokens, cell.output_tokens) < 1:
        raise ValueError("batch, prompt_tokens and output_tokens must be at least 1")


def named(key: Key) -> str:
    method, llm, slm, batch, prompt, output = key
    models = "+".join(name for name in (llm, slm) if name)
    return f"{method} of {models} at batch {batch}, prompt {prompt}, output {output}"


def _microseconds(times: Sequence[float]) -> list[float]:
    return [round(s * 1e6, 1) for s in times]


def _seconds(times: Sequence[float]) -> list[float]:
    return [us / 1e6 for us in times]


def _line(row: Mapping[str, object]) -> bytes:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _object(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"it is not JSON ({error})") from error
    if not isinstance(row, dict):
        raise ValueError("it is not a JSON object")
    return row
