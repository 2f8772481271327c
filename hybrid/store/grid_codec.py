"""How grids and their cells are written as JSON: as results/README.md says.

Objects hold seconds, files hold tenths of microseconds. Bytes that are not what
they should be raise ValueError.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from hybrid.schema import METHODS, Cell, Environment, Grid, Phase
from hybrid.store.checks import check_grid, check_seal, seal
from hybrid.store.codec import Microseconds
from hybrid.store.typed_json import LARGEST, Count, Header, decode, encode, plain

FORMAT = 1
Size = Annotated[int, msgspec.Meta(ge=1, le=LARGEST)]


class _CellLine(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A cell as a line has it."""

    method: str
    llm: str | None
    slm: str | None
    batch: Size
    prompt_tokens: Size
    output_tokens: Size
    started_at: str
    drafted: tuple[Count, ...] = ()
    accepted: tuple[Count, ...] = ()
    options: dict[str, str] = {}
    environment: Environment | None = None
    phases_us: dict[Phase, list[Microseconds]]
    ttft_us: list[Microseconds]
    tpot_us: list[Microseconds] = []


def encode_grid(grid: Grid) -> bytes:
    """Write the first line of a grid."""
    return seal(encode({"format": FORMAT, **plain(grid)}))


def decode_grid(line: bytes) -> Grid:
    """Read the first line of a grid. Raises ValueError for what is none of this format."""
    if (version := decode(Header, line).format) != FORMAT:
        raise ValueError(f"it has format {version!r} and this version reads {FORMAT}")
    grid = decode(Grid, line)
    check_seal(line)
    check_grid(grid)
    return grid


def encode_cell(cell: Cell) -> bytes:
    """Write one line."""
    line = _CellLine(
        method=cell.method,
        llm=cell.llm,
        slm=cell.slm,
        batch=cell.batch,
        prompt_tokens=cell.prompt_tokens,
        output_tokens=cell.output_tokens,
        started_at=cell.started_at,
        drafted=cell.drafted,
        accepted=cell.accepted,
        options=dict(cell.options),
        environment=cell.environment,
        phases_us={phase: _microseconds(times) for phase, times in cell.phases_s.items()},
        ttft_us=_microseconds(cell.ttft_s),
        tpot_us=_microseconds(cell.tpot_s),
    )
    return seal(encode(line))


def decode_cell(line: bytes, sealed: bool = False) -> Cell:
    """Read one line; fields that are not known are let pass. sealed: it must have its checksum."""
    row = decode(_CellLine, line)
    _check_cell(row)
    check_seal(line, required=sealed)
    return Cell(
        method=row.method,
        llm=row.llm,
        slm=row.slm,
        batch=row.batch,
        prompt_tokens=row.prompt_tokens,
        output_tokens=row.output_tokens,
        started_at=row.started_at,
        phases_s={phase: _seconds(times) for phase, times in row.phases_us.items()},
        ttft_s=_seconds(row.ttft_us),
        tpot_s=_seconds(row.tpot_us),
        drafted=row.drafted,
        accepted=row.accepted,
        options=row.options,
        environment=row.environment,
    )


def _check_cell(row: _CellLine) -> None:
    """Raise ValueError for what the types leave open."""
    if row.method not in METHODS:
        raise ValueError(f"method is {row.method!r}, not one of {', '.join(METHODS)}")
    every = (row.ttft_us, *row.phases_us.values())
    lengths = {len(several) for several in every}
    lengths |= {len(values) for values in (row.tpot_us, row.drafted, row.accepted) if values}
    if not row.phases_us:
        raise ValueError("it has no phases")
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"its lists have {' and '.join(map(str, sorted(lengths)))} repeats")


def _microseconds(times: Sequence[float]) -> list[float]:
    return [round(s * 1e6, 1) for s in times]


def _seconds(times: Sequence[float]) -> tuple[float, ...]:
    return tuple([us / 1e6 for us in times])
