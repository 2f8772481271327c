"""What tells that something stored is not what was measured: its checksum, and numbers that nothing can have.

The checksum at the end is CRC-32 over all bytes before it, as eight hexadecimal digits. It
finds what a disk, a copy or a slip in an editor has changed: every burst of up to
32 bits, and of longer damage all but one in four billion (W. W. Peterson and D. T.
Brown, "Cyclic Codes for Error Detection", 1961). It is no protection against who means harm.

Checks are of what the types of a stored run leave open. Each raises ValueError in words. What fails
is damage of that line, or of that run.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import is_dataclass, replace
from datetime import datetime
from zlib import crc32

from hybrid.format import listed
from hybrid.schema import STATISTICS, Grid, Plan, Record, Run, Timing, check_own_task, is_task_name
from hybrid.store.private import SUITE_DIGEST
from hybrid.store.typed_json import LARGEST

CHECKSUM = "crc32"  # its name, in run.json and as the last field of a line
_LINE = b',"crc32":"', b'"}'
_INDENTED = b',\n "crc32": "', b'"\n}'
_LAST_LINE = b'{"crc32":"', b'"}'
_NAMED = 3  # runs in a sentence; the rest are counted
MOST_SYSTEMS = 100  # of a run: six methods in each engine are some fifty
MOST_ENTRIES = 10_000  # of a list or an object in run.json: a probe for each block
DEEPEST = 20  # lists and objects in one another
LONGEST_TEXT = 10_000  # characters of a text in run.json: a path may have 4,096
FIRST_YEAR, LAST_YEAR = 1970, 9998  # of those whose every moment all time zones have
_ROUNDED_S = 2e-6  # by which a stored time may exceed the stored sum of its phases
_SIGNED = frozenset({"seed", "others_share", "steal_share"})  # of the numbers in run.json: differences


def seal(data: bytes, indented: bool = False) -> bytes:
    """Add its checksum to an object that encode() wrote: one line, or indented by one for people."""
    key, end = _INDENTED if indented else _LINE
    body = data.rstrip().removesuffix(b"}").rstrip()
    return b"%s%s%08x%s\n" % (body, key, crc32(body), end)


def check_seal(data: bytes, indented: bool = False, required: bool = False) -> bool:
    """Tell whether it has a checksum. Raises ValueError where it does not fit, or `required` and missing."""
    key, end = _INDENTED if indented else _LINE
    body, separator, rest = data.rpartition(key)
    if not separator:
        if required:
            raise ValueError("it has lost its checksum")
        return False
    if rest.rstrip() != b"%08x%s" % (crc32(body), end):
        raise ValueError("its checksum does not fit: it was changed after it was written")
    return True


def all_sealed(lines: Sequence[bytes], required: bool) -> bool:
    """Tell whether all lines have a checksum that fits, or where it is not `required` none has any."""
    key, end = _LINE
    if not required and not any(key in line for line in lines):
        return True
    size = len(key) + 8 + len(end) + 1
    return all(b"%s%08x%s\n" % (key, crc32(line[:-size]), end) == line[-size:] for line in lines)


def last_line(checksum: int) -> bytes:
    """Write the line that ends a file of lines. checksum: crc32() of all before it."""
    key, end = _LAST_LINE
    return b"%s%08x%s\n" % (key, checksum, end)


def without_last_line(data: bytes) -> bytes:
    """Take last_line() off the bytes of a file. Raises ValueError where it is missing or does not fit."""
    body, separator, rest = data.rpartition(_LAST_LINE[0])
    if not separator:
        raise ValueError("it has lost its end")
    if separator + rest != last_line(crc32(body)):
        raise ValueError("its checksum does not fit: it was changed after it was written")
    return body


def unsealed_sentence(run_ids: Sequence[str]) -> str:
    """Say that these runs, at least one, were stored before there were checksums."""
    runs = listed(run_ids, _NAMED)
    which = f"Run {runs} has" if len(run_ids) == 1 else f"Runs {runs} have"
    return (
        f"{which} no checksums, being stored by an earlier version: a digit that was changed since "
        "would go unnoticed."
    )


def check_run(run: Run) -> None:
    """Raise ValueError for what no run can be."""
    check_bounds(run)
    plan, planned = run.plan, run.planned
    if len(plan.systems) > MOST_SYSTEMS:
        raise ValueError(f"plan.systems are {len(plan.systems):,} and {MOST_SYSTEMS} are the most")
    if planned < 1 or planned % (plan.repeats * len(plan.systems)):
        raise ValueError(
            f"planned is {planned:,}, no multiple of {len(plan.systems)} systems x {plan.repeats:,} repeats"
        )
    if not is_task_name(plan.task):
        raise ValueError(f"plan.task is {plan.task[:80]!r}, no name of a task")
    if run.own_task is not None:
        check_own_task(run.own_task)
        if run.own_task.name != plan.task:
            raise ValueError(f"own_task is {run.own_task.name!r} and plan.task {plan.task[:80]!r}")
    if plan.private:
        _check_private(plan)
    check_moment("created_at", run.created_at)
    if run.finished_at is not None:
        check_moment("finished_at", run.finished_at)
    for resumption in run.resumptions:
        if resumption.records_before > planned:
            raise ValueError(f"records_before is {resumption.records_before:,} and planned is {planned:,}")


def _check_private(plan: Plan) -> None:
    """Raise ValueError for what a private run would give away."""
    if plan.suite.startswith(("file:", "hf:")) or plan.columns:
        raise ValueError("it is private and names a file, a data set or columns")
    if not SUITE_DIGEST.fullmatch(plan.suite_hash):
        raise ValueError(f"it is private and suite_hash is {plan.suite_hash[:80]!r}, no keyed digest")


def check_grid(grid: Grid) -> None:
    """Raise ValueError for what no grid can be."""
    check_bounds(replace(grid, shapes={name: {} for name in grid.shapes}))  # whoever uses a shape checks it
    check_moment("created_at", grid.created_at)


def check_record(record: Record, run: Run, examples: Container[str]) -> None:
    """Raise ValueError for a record that is no part of its run, or that nothing can have measured."""
    plan = run.plan
    if record.example_id not in examples:
        raise ValueError(f"the run has no example {record.example_id!r}")
    if (record.generation.withheld is not None) != plan.private:
        raise ValueError(
            f"it holds {'a' if plan.private else 'no'} text, and the run is "
            f"{'private' if plan.private else 'not private'}"
        )
    if record.system not in plan.systems:
        raise ValueError(f"the run has no system {record.system}")
    if not 0 <= record.repeat < plan.repeats:
        raise ValueError(f"repeat is {record.repeat} and the run has {plan.repeats}, counted from 0")
    if not 0 <= record.block < plan.blocks:
        raise ValueError(f"block is {record.block} and the run has {plan.blocks}, counted from 0")
    if not 0 <= record.batch < run.planned or not 0 <= record.position < run.planned:
        raise ValueError(
            f"batch is {record.batch} and position {record.position}, and the run plans {run.planned} records"
        )
    check_moment("started_at", record.started_at)
    _check_timing(record.generation.timing)


def unsound(statistics: Mapping[str, Sequence[float]]) -> list[str]:
    """Name the metrics whose statistics no answer can have; one that is not known can have any."""
    known = STATISTICS.get
    return [
        metric
        for metric, values in statistics.items()
        if (shape := known(metric)) is not None and not shape.holds(values)
    ]


def check_moment(name: str, text: str) -> None:
    """Raise ValueError for what is no ISO 8601 time, or none that every time zone can show."""
    try:
        known = FIRST_YEAR <= datetime.fromisoformat(text).year <= LAST_YEAR
    except ValueError:
        known = False
    if not known:
        raise ValueError(f"{name} is {text[:40]!r}, no time of a measurement")


def check_bounds(value: object, place: str = "", depth: int = DEEPEST) -> None:
    """Raise ValueError for a number, a text or a list, anywhere inside, that is larger than it can be."""
    if isinstance(value, str):
        if len(value) > LONGEST_TEXT:
            raise ValueError(f"{place} has {len(value):,} characters and {LONGEST_TEXT:,} are the most")
    elif isinstance(value, int | float):
        least = -LARGEST if place.rpartition(".")[2] in _SIGNED else 0
        if not least <= value <= LARGEST:  # nor NaN
            raise ValueError(f"{place} is {_brief(value)}, not {least} to {LARGEST}")
    elif value is not None:
        if not depth:
            raise ValueError("it is nested too deeply")
        for name, item in _entries(value, place):
            check_bounds(item, name, depth - 1)


def _entries(value: object, place: str) -> Iterator[tuple[str, object]]:
    """Yield what a dataclass, an object or a list consists of, each with its place."""
    if is_dataclass(value):
        for name in value.__dataclass_fields__:
            yield f"{place}.{name}" if place else name, getattr(value, name)
        return
    if not isinstance(value, Mapping | Sequence):
        raise ValueError(f"{place} is of no kind that is stored")
    if len(value) > MOST_ENTRIES:
        raise ValueError(f"{place} has {len(value):,} entries and {MOST_ENTRIES:,} are the most")
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield f"{place}[...]", name
            yield f"{place}[...]", item
    else:
        for number, item in enumerate(value):
            yield f"{place}[{number}]", item


def _check_timing(timing: Timing) -> None:
    times, total_s = timing.token_times_s, timing.total_s
    if times[0] < 0 or sorted(times) != list(times):
        raise ValueError("its token times decrease, or begin before the request")
    if not times[-1] <= total_s + _ROUNDED_S:
        raise ValueError(f"its last token came after {times[-1]:.6f} s and all took {total_s:.6f} s")


def _brief(number: float) -> str:
    return f"{number:g}" if abs(number) < 1e300 else "beyond all bounds"
