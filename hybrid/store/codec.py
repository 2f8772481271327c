"""How runs, examples and records are written as JSON: as results/README.md says.

Objects hold seconds, files hold microseconds: whole ones for tokens, tenths for
phases. Bytes that are not what they should be
raise ValueError.
"""

import json
import math
from dataclasses import replace
from typing import Annotated, Any

import msgspec

from hybrid.schema import (
    Example,
    FinishReason,
    Generation,
    Phase,
    Record,
    Run,
    System,
    Timing,
)
from hybrid.schema.answers import paused
from hybrid.schema.runs import without_folders
from hybrid.store.checks import CHECKSUM, check_run, check_seal, seal
from hybrid.store.typed_json import LARGEST, Count, decode, encode, parse_text, plain, restore

SCHEMA = 1  # of runs
Microseconds = Annotated[float, msgspec.Meta(ge=0, le=1e15)]  # 30 years
Amount = Annotated[float, msgspec.Meta(ge=0, le=LARGEST)]  # of what is counted and summed


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
    return seal(encode({"schema": SCHEMA, **plain(run), **more}, indent=1), indented=True)


def decode_run(data: bytes) -> tuple[Run, RunFile]:
    """Read a run.json; fields that are not known are let pass, the folders of a suite's file too.

    Its checksum is not looked at.
    """
    header = decode(RunFile, data)
    if type(header.schema) is not int or header.schema < 1:
        raise ValueError("it names no schema")
    if header.schema > SCHEMA:
        raise ValueError(
            f"it has schema {header.schema} and this version reads {SCHEMA}; install a newer one"
        )
    run = decode(Run, data)
    suite, blocks = without_folders(run.plan.suite), header.plan.blocks
    if (suite, blocks) != (run.plan.suite, run.plan.blocks):
        run = replace(run, plan=replace(run.plan, suite=suite, blocks=blocks))
    check_run(run)
    return run, header


def without_suite_folders(data: bytes) -> bytes:
    """Rewrite a run.json of before suites' files were stored without their folders; any other as it is.

    data: of a run that can be read.
    """
    row = json.loads(data)
    suite = row["plan"]["suite"]
    row["plan"]["suite"] = without_folders(suite)
    if row["plan"]["suite"] == suite:
        return data
    row.pop("crc32", None)
    return seal(encode(row, indent=1), indented=True)


def encode_example(example: Example) -> bytes:
    """Write one line."""
    return seal(encode(example))


def decode_example(line: bytes, sealed: bool = False) -> Example:
    """Read one line. sealed: it must have its checksum."""
    example = decode(Example, line, texts=True)
    check_seal(line, required=sealed)
    if not example.references:
        raise ValueError("references is empty")
    return example


class _RecordLine(msgspec.Struct, omit_defaults=True, gc=False, kw_only=True):
    """A record as a line has it. append: of several that were written together, which one of how many."""

    example: str
    repeat: Count
    system: System
    batch: Count
    position: Count
    started_at: str
    prompt_tokens: Count
    finish: FinishReason
    text: str
    phases_us: dict[Phase, Microseconds]
    token_us: list[Microseconds]
    token_ids: tuple[Count, ...]
    statistics: dict[str, tuple[Amount, ...]]
    drafted: Count = 0
    accepted: Count = 0
    block: Count = 0
    disturbed: bool = False
    append: Any = None


_decode_line = msgspec.json.Decoder(_RecordLine, dec_hook=parse_text).decode


class _AppendOfLine(msgspec.Struct):
    """Only that of a line, which may hold anything else."""

    append: tuple[int, int] = (1, 1)


def encode_record(record: Record, row: int = 0, rows: int = 1) -> bytes:
    """Write one line. row, rows: its place among the records that are written together."""
    generation = record.generation
    line = _RecordLine(
        example=record.example_id,
        repeat=record.repeat,
        system=record.system,
        batch=record.batch,
        position=record.position,
        started_at=record.started_at,
        prompt_tokens=generation.prompt_tokens,
        finish=generation.finish_reason,
        text=generation.text,
        phases_us={phase: round(s * 1e6, 1) for phase, s in generation.timing.phases.items()},
        token_us=[round(s * 1e6) for s in generation.timing.token_times_s],
        token_ids=generation.token_ids,
        statistics={name: tuple(map(short, values)) for name, values in record.statistics.items()},
        drafted=generation.drafted,
        accepted=generation.accepted if generation.drafted else 0,
        block=record.block,
        disturbed=generation.timing.disturbed,
        append=[row + 1, rows] if rows > 1 else None,
    )
    return seal(encode(line))


def decode_record(line: bytes, sealed: bool = False) -> Record:
    """Read one record; times come back as they were to half a microsecond, phases to a twentieth.

    sealed: it must have its checksum.
    """
    try:
        row = _decode_line(line)
    except Exception:  # what is wrong is said, and half a surrogate pair read, by the slower one
        row = decode(_RecordLine, line, texts=True)
    check_seal(line, required=sealed)
    if not row.token_ids or len(row.token_ids) != len(row.token_us):
        raise ValueError(f"it has {len(row.token_ids)} token_ids and {len(row.token_us)} token_us")
    if row.accepted > row.drafted:
        raise ValueError(f"{row.accepted} of {row.drafted} drafted ids are accepted")
    phases = {phase: us / 1e6 for phase, us in row.phases_us.items()}
    token_times_s = tuple([us / 1e6 for us in row.token_us])
    timing = {
        "phases": phases,
        "token_times_s": token_times_s,
        "disturbed": row.disturbed or paused(token_times_s),  # runs of before do not tell
    }
    # restore(): of 100,000 answers it saves what setting each field of three frozen objects takes
    generation = restore(
        Generation,
        {
            "system": row.system,
            "text": row.text,
            "token_ids": row.token_ids,
            "prompt_tokens": row.prompt_tokens,
            "finish_reason": row.finish,
            "timing": restore(Timing, timing),
            "drafted": row.drafted,
            "accepted": row.accepted,
        },
    )
    return restore(
        Record,
        {
            "example_id": row.example,
            "repeat": row.repeat,
            "batch": row.batch,
            "position": row.position,
            "started_at": row.started_at,
            "generation": generation,
            "statistics": row.statistics,
            "block": row.block,
        },
    )


def rows_to_drop(line: bytes) -> int:
    """Count the last lines that belong to an append that was cut short, when `line` is the last one."""
    try:
        row, rows = decode(_AppendOfLine, line).append
    except ValueError:
        return 0  # a damaged line is reported when it is read
    return row if 0 < row < rows else 0


def short(value: float) -> float:
    """Write a count as a whole number."""
    return int(value) if math.isfinite(value) and float(value).is_integer() else value
