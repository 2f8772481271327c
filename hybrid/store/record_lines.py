"""How records are written as JSON, a line each, and read: as results/README.md says.

Objects hold seconds, files hold microseconds: whole ones for tokens, tenths for
phases. Bytes that are not what they should be raise ValueError.
"""

import math
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec

from hybrid.schema import (
    STATISTICS,
    FinishReason,
    Generation,
    Phase,
    Record,
    Run,
    System,
    Timing,
    Withheld,
)
from hybrid.schema.answers import PAUSE_S, paused
from hybrid.store.checks import FIRST_YEAR, LAST_YEAR, all_sealed, check_seal, seal
from hybrid.store.private import DIGEST
from hybrid.store.typed_json import Amount, Count, Microseconds, decode, encode, parse_text, restore

_SHORT_US = 0.9 * PAUSE_S * 1e6  # of all tokens together: no gap between two is a pause
_LONG_US = 1e12  # beyond it rounding is not small any more


class RecordLine(msgspec.Struct, omit_defaults=True, gc=False, kw_only=True):
    """A record as a line has it, times in microseconds.

    append: of several that were written together, which one of how many.
    digest, characters, tokens: of an answer that is withheld, whose text and token_ids are
        empty and whose token_us are the first and the last.
    """

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
    digest: str = ""
    characters: Count = 0
    tokens: Count = 0

    @property
    def output_tokens(self) -> int:
        """How many ids the answer has."""
        return self.tokens or len(self.token_ids)


_decode = msgspec.json.Decoder(RecordLine, dec_hook=parse_text).decode


class _AppendOfLine(msgspec.Struct):
    """Only that of a line, which may hold anything else."""

    append: tuple[int, int] = (1, 1)


def encode_record(record: Record, row: int = 0, rows: int = 1) -> bytes:
    """Write one line. row, rows: its place among the records that are written together."""
    generation, withheld = record.generation, record.generation.withheld
    line = RecordLine(
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
        digest=withheld.digest if withheld else "",
        characters=withheld.characters if withheld else 0,
        tokens=withheld.tokens if withheld else 0,
    )
    return seal(encode(line))


def decode_line(line: bytes, sealed: bool = False) -> RecordLine:
    """Read one line. sealed: it must have its checksum."""
    try:
        row = _decode(line)
    except Exception:  # what is wrong is said, and half a surrogate pair read, by the slower one
        row = decode(RecordLine, line, texts=True)
    check_seal(line, required=sealed)
    if not _whole(row):
        of = f"{row.tokens} tokens without a text" if row.digest else f"{len(row.token_ids)} token_ids"
        raise ValueError(f"it has {of} and {len(row.token_us)} token_us")
    if row.accepted > row.drafted:
        raise ValueError(f"{row.accepted} of {row.drafted} drafted ids are accepted")
    row.disturbed = row.disturbed or paused(_seconds(row.token_us))  # runs of before do not tell
    return row


def _whole(row: RecordLine) -> bool:
    """Tell whether an answer is all there, or all withheld."""
    if not row.digest:
        return 0 < len(row.token_ids) == len(row.token_us) and not row.tokens and not row.characters
    empty = not row.text and not row.token_ids and DIGEST.fullmatch(row.digest)
    return bool(empty) and 0 < len(row.token_us) == min(row.tokens, 2)


def record_of(row: RecordLine) -> Record:
    """Make the record that a line holds."""
    timing = {
        "phases": {phase: us / 1e6 for phase, us in row.phases_us.items()},
        "token_times_s": _seconds(row.token_us),
        "disturbed": row.disturbed,
        "tokens": row.tokens,
    }
    # restore(): of 100,000 answers it saves what setting each field of three frozen objects takes
    generation = {
        "system": row.system,
        "text": row.text,
        "token_ids": row.token_ids,
        "prompt_tokens": row.prompt_tokens,
        "finish_reason": row.finish,
        "timing": restore(Timing, timing),
        "drafted": row.drafted,
        "accepted": row.accepted,
        "withheld": Withheld(row.digest, row.characters, row.tokens) if row.digest else None,
    }
    record = {
        "example_id": row.example,
        "repeat": row.repeat,
        "batch": row.batch,
        "position": row.position,
        "started_at": row.started_at,
        "generation": restore(Generation, generation),
        "statistics": row.statistics,
        "block": row.block,
    }
    return restore(Record, record)


def decode_sound(
    lines: Sequence[bytes], run: Run, examples: Collection[str], sealed: bool
) -> list[RecordLine] | None:
    """Read the lines of a run's records, each of them sound: as strict as decode_line() and check_record().

    Far faster, as each thing is looked at in all of them at once. None where anything is not as
    it should be, or seldom is: then each line alone tells what.
    """
    try:
        rows = [_decode(line) for line in lines]
        years = [datetime.fromisoformat(row.started_at).year for row in rows]
    except Exception:
        return None
    known = all(FIRST_YEAR <= year <= LAST_YEAR for year in (min(years), max(years)))
    sound = known and all_sealed(lines, sealed) and _in_run(rows, run, examples) and all(map(_timed, rows))
    return rows if sound and _all_answers(rows) else None


def _in_run(rows: Sequence[RecordLine], run: Run, examples: Collection[str]) -> bool:
    """As check_record() has it."""
    plan = run.plan
    return (
        all(row.example in examples and bool(row.digest) == plan.private for row in rows)
        and {row.system for row in rows} <= {*plan.systems}
        and max(row.repeat for row in rows) < plan.repeats
        and max(row.block for row in rows) < plan.blocks
        and max(max(row.batch, row.position) for row in rows) < run.planned
    )


def _timed(row: RecordLine) -> bool:
    """Tell whether times are sound, beyond the doubt that rounding leaves of the last one."""
    times = row.token_us
    total_us = sum(row.phases_us.values())
    if not _whole(row) or sorted(times) != times or row.accepted > row.drafted:
        return False
    if times[-1] - times[0] > _SHORT_US:
        row.disturbed = row.disturbed or paused(_seconds(times))
    return times[-1] <= total_us <= _LONG_US


def _all_answers(rows: Sequence[RecordLine]) -> bool:
    """Tell whether all statistics are ones that an answer can have."""
    for metric, shape in STATISTICS.items():
        values = [row.statistics[metric] for row in rows if metric in row.statistics]
        if not shape.all_hold(values):
            return False
    return True


def _seconds(times_us: Sequence[float]) -> tuple[float, ...]:
    return tuple([us / 1e6 for us in times_us])


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
