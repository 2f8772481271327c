"""How runs, examples and records are written as JSON: schema 1, as results/README.md says.

Objects hold seconds, files hold microseconds: whole ones for tokens, tenths
for phases. Bytes that are not what they should be raise ValueError.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from operator import index
from typing import Any, cast

from hybrid.schema import PHASES, Example, Generation, Phase, Record, Run, System, Timing
from hybrid.store.typed import build

SCHEMA = 1
LARGEST = 2**53  # of a count: more could be no count, and would fit no table


def encode_run(run: Run, **more: int) -> bytes:
    """run.json: the fields of the Run and `more`, indented for people."""
    text = json.dumps({"schema": SCHEMA, **plain(run), **more}, ensure_ascii=False, indent=1)
    return _utf8(text) + b"\n"


def decode_run(data: bytes) -> tuple[Run, Mapping[str, object]]:
    """A Run and the whole object it was read from; fields that are not known are let pass."""
    row = _object(data)
    schema = row.get("schema")
    if type(schema) is not int or schema < 1:
        raise ValueError("it names no schema")
    if schema > SCHEMA:
        raise ValueError(f"it has schema {schema} and this version reads {SCHEMA}; install a newer one")
    return build(Run, row), row


def encode_example(example: Example) -> bytes:
    return _line(plain(example))


def decode_example(line: bytes) -> Example:
    example = build(Example, _object(line))
    if not example.references:
        raise ValueError("references is empty")
    return example


def encode_record(record: Record, row: int = 0, rows: int = 1) -> bytes:
    """One line. row, rows: its place among the records that are written together."""
    made = record.generation
    line: dict[str, object] = {
        "example": record.example_id,
        "repeat": record.repeat,
        "system": made.system,
        "batch": record.batch,
        "position": record.position,
        "started_at": record.started_at,
        "prompt_tokens": made.prompt_tokens,
        "finish": made.finish_reason,
        "text": made.text,
        "phases_us": {phase: round(s * 1e6, 1) for phase, s in made.timing.phases.items()},
        "token_us": [round(s * 1e6) for s in made.timing.token_times_s],
        "token_ids": made.token_ids,
        "statistics": {metric: [_short(v) for v in values] for metric, values in record.statistics.items()},
    }
    if made.drafted:
        line["drafted"], line["accepted"] = made.drafted, made.accepted
    if rows > 1:
        line["append"] = [row + 1, rows]
    return _line(line)


def decode_record(line: bytes) -> Record:
    """One record; times come back as they were to half a microsecond, phases to a twentieth."""
    row = _object(line)
    try:
        times = tuple([us / 1e6 for us in row["token_us"]])
        ids = tuple(map(index, row["token_ids"]))
        phases = {cast(Phase, phase): us / 1e6 for phase, us in row["phases_us"].items()}
        generation = Generation(
            _system(row["system"]),
            row["text"],
            ids,
            index(row["prompt_tokens"]),
            row["finish"],
            Timing(phases, times),
            index(row.get("drafted", 0)),
            index(row.get("accepted", 0)),
        )
        record = Record(
            row["example"],
            index(row["repeat"]),
            index(row["batch"]),
            index(row["position"]),
            row["started_at"],
            generation,
            {metric: tuple(map(float, values)) for metric, values in row["statistics"].items()},
        )
    except KeyError as error:
        raise ValueError(f"{error.args[0]} is missing") from error
    except (TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"a field has a wrong type ({error})") from error
    _check(record)
    return record


def rows_to_drop(line: bytes) -> int:
    """How many last lines belong to an append that was cut short, when `line` is the last one."""
    try:
        row, rows = map(index, _object(line).get("append", (1, 1)))
    except (ValueError, TypeError):
        return 0  # a damaged line is reported when it is read
    return row if 0 < row < rows else 0


def plain(value: object) -> dict[str, object]:
    """A dataclass as what JSON knows; dataclasses.asdict() would fail on a read-only mapping."""
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}  # type: ignore[arg-type]


def _plain(value: object) -> object:
    if is_dataclass(value):
        return plain(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def _short(value: float) -> float:
    """Counts are written as whole numbers."""
    return int(value) if float(value).is_integer() else value


def _line(row: object) -> bytes:
    return _utf8(json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False)) + b"\n"


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # half a surrogate pair: only JSON's own escapes can hold it
        return json.dumps(json.loads(text), separators=(",", ":")).encode()


def _object(data: bytes) -> dict[str, Any]:
    try:
        row = json.loads(data.decode().rstrip("\n"))
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} is not UTF-8") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON from character {error.pos + 1} on") from error
    if not isinstance(row, dict):
        raise ValueError("it is not a JSON object")
    return row


def _system(text: object) -> System:
    if not isinstance(text, str):
        raise ValueError(f"system is {text!r}, not a string")
    return System.parse(text)


def _check(record: Record) -> None:
    """Raise ValueError for what Record's types leave open in a file."""
    made = record.generation
    texts = (record.example_id, record.started_at, made.text)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("example, started_at and text must be strings")
    counts = (record.repeat, record.batch, record.position, made.prompt_tokens, made.drafted)
    if not all(0 <= count <= LARGEST for count in counts):
        raise ValueError(f"repeat, batch, position, prompt_tokens and drafted must be from 0 to {LARGEST}")
    if not 0 <= made.accepted <= made.drafted:
        raise ValueError(f"{made.accepted} of {made.drafted} drafted ids are accepted")
    if made.finish_reason not in ("eos", "length"):
        raise ValueError(f"finish is {made.finish_reason!r}, not eos or length")
    if not made.token_ids or len(made.token_ids) != len(made.timing.token_times_s):
        times = len(made.timing.token_times_s)
        raise ValueError(f"it has {len(made.token_ids)} token_ids and {times} token_us")
    if not made.timing.phases.keys() <= set(PHASES):
        raise ValueError(f"phases_us names other phases than {', '.join(PHASES)}")
