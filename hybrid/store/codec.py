"""How runs, examples and grids are written as JSON: as results/README.md says.

Objects hold seconds, files hold tenths of microseconds. Bytes that are not what
they should be raise ValueError.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Annotated, Any

import msgspec

from hybrid.schema import METHODS, Cell, Environment, Example, Grid, Phase, Run, TrivialAnswer
from hybrid.schema.runs import with_version, without_folders
from hybrid.store.checks import CHECKSUM, check_grid, check_run, check_seal, seal, unsound
from hybrid.store.private import DIGEST
from hybrid.store.typed_json import LARGEST, Count, Header, Microseconds, decode, encode, plain

SCHEMA = 2  # of runs: 2 where they are private, so that earlier versions say that they cannot read them
FORMAT = 1  # of grids
Size = Annotated[int, msgspec.Meta(ge=1, le=LARGEST)]


class _PlanOfFile(msgspec.Struct, frozen=True):
    """What a plan says of blocks: runs of before there were any are one."""

    blocks: Any = 1


class RunFile(msgspec.Struct, frozen=True, kw_only=True):
    """What run.json holds beside the fields of a Run. run_id: of the run when it was stored.

    records, records_bytes: of a complete run, how many there were and the size of their file.
    checksum: CHECKSUM where each example and record ends in one; empty in runs of before.
    """

    schema: Any = None
    run_id: str = ""
    records: Count | None = None
    records_bytes: Count | None = None
    checksum: str = ""
    plan: _PlanOfFile = msgspec.field(default_factory=_PlanOfFile)

    @property
    def sealed(self) -> bool:
        """Whether a line without a checksum has lost it."""
        return self.checksum == CHECKSUM


def encode_run(run: Run, **more: int | str) -> bytes:
    """Write run.json: the fields of the Run and `more`, those of RunFile, indented for people."""
    schema = SCHEMA if run.plan.private else 1
    return seal(encode({"schema": schema, **plain(run), **more}, indent=1), indented=True)


def decode_run(data: bytes) -> tuple[Run, RunFile]:
    """Read a run.json; fields that are not known are let pass, the folders of a suite's file too.

    A bundled suite gets its version, which runs of before do not name. The checksum is not looked at.
    """
    header = decode(RunFile, data)
    if type(header.schema) is not int or header.schema < 1:
        raise ValueError("it names no schema")
    if header.schema > SCHEMA:
        raise ValueError(
            f"it has schema {header.schema} and this version reads {SCHEMA}; install a newer one"
        )
    run = decode(Run, data)
    suite = with_version(without_folders(run.plan.suite), run.plan.suite_hash)
    blocks = header.plan.blocks
    if (suite, blocks) != (run.plan.suite, run.plan.blocks):
        run = replace(run, plan=replace(run.plan, suite=suite, blocks=blocks))
    check_run(run)
    return run, header


def without_suite_folders(data: bytes) -> bytes:
    """Rewrite a run.json of before suites' files were stored without their folders; any other as it is.

    data: of a run that can be read.
    """
    suite = decode(Run, data).plan.suite
    if without_folders(suite) == suite:
        return data
    row = json.loads(data.decode("utf-8", "replace"))  # a name that is not known need not be text
    row["plan"]["suite"] = without_folders(suite)
    row.pop("crc32", None)
    return seal(encode(row, indent=1), indented=True)


def encode_example(example: Example) -> bytes:
    """Write one line."""
    row = plain(example)
    if not example.trivial:
        del row["trivial"]
    return seal(encode(row))


def decode_example(line: bytes, sealed: bool = False, private: bool = False) -> Example:
    """Read one line. sealed: it must have its checksum. private: of a run that withholds its texts."""
    example = decode(Example, line, texts=True)
    check_seal(line, required=sealed)
    if private:
        trivial = example.trivial.values()
        digests = (example.id, *(answer.withheld.digest for answer in trivial))
        if not all(map(DIGEST.fullmatch, digests)) or (example.domain, example.source) != ("", ""):
            raise ValueError("it holds more than digests, and the run is private")
        if example.references or not all(map(_sound, trivial)):
            raise ValueError("it holds references, or statistics that no answer has")
    elif example.trivial:
        raise ValueError("it holds answers, and the run is not private")
    elif not example.references:
        raise ValueError("references is empty")
    return example


def _sound(answer: TrivialAnswer) -> bool:
    """Tell whether an answer can be scored so."""
    numbers = chain(*answer.statistics.values())
    lengths = answer.withheld.characters, answer.withheld.tokens
    return all(0 <= number <= LARGEST for number in (*numbers, *lengths)) and not unsound(answer.statistics)


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
