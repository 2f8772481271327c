"""Whether people accept answers: three readings of the same answers, each in a file of its own.

    results/judgements/<name>/reading-1.jsonl, reading-2.jsonl, reading-3.jsonl

A line is a Judgement: an answer, whether this reading accepts it, and why not. The rubric
is in results/judgements/README.md. An answer is acceptable when most readings accept it.
"""

import random
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path

from hybrid.errors import InputError, StoreError
from hybrid.schema import System
from hybrid.store import StoredRun
from hybrid.store.files import as_store_error, open_folder_atomic, read_small
from hybrid.store.typed_json import decode, encode

READINGS = 3
LARGEST = 2**24  # bytes of a file
Z = 1.959964  # of the normal distribution, for 95 %


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What one reading says of one answer. acceptable: None until it is judged. reason: why it is not."""

    example_id: str
    source: str
    system: System
    answer: str
    acceptable: bool | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Acceptability:
    """How many of n answers are acceptable. low, high: of their share, 95 % (Wilson 1927).

    by_reading: how many each reading accepts. unanimous: answers of which all readings say the same.
    """

    n: int
    accepted: int
    low: float
    high: float
    by_reading: tuple[int, ...]
    unanimous: int

    @property
    def share(self) -> float:
        return self.accepted / self.n


def begin_judgements(stored: StoredRun, folder: Path) -> None:
    """Write a run's answers, of the first repeat, for each reading to judge, each in an order of its own.

    Raises InputError when the folder is there already, or the run is private; StoreError when it cannot
    be written.
    """
    if folder.exists():
        raise InputError(f"There are judgements in {folder} already; name another folder.")
    if stored.run.plan.private:
        raise InputError(f"Run {stored.run.run_id} is private: it holds no answers that people could read.")
    sources = {example.id: example.source for example in stored.examples}
    rows = [
        Judgement(
            example_id=record.example_id,
            source=sources[record.example_id],
            system=record.system,
            answer=record.generation.text,
        )
        for record in stored.records
        if record.repeat == 0
    ]
    with as_store_error(f"{folder} cannot be written"), open_folder_atomic(folder) as new:
        for number in range(1, READINGS + 1):
            order = random.Random(number).sample(rows, len(rows))  # no system is known by its place
            _path(new, number).write_bytes(b"".join(map(encode, order)))


def acceptability(folder: Path) -> Mapping[System, Acceptability]:
    """Count the acceptable answers of each system.

    Raises StoreError when a reading is missing, damaged or not complete, or is of other answers.
    """
    readings = [_reading(_path(folder, number)) for number in range(1, READINGS + 1)]
    for number, reading in enumerate(readings[1:], 2):
        if reading.keys() != readings[0].keys():
            raise StoreError(f"{_path(folder, number)} judges other answers than {_path(folder, 1).name}.")
    votes: dict[System, list[list[bool]]] = defaultdict(list)
    for answer in readings[0]:
        votes[answer.system].append([reading[answer] for reading in readings])
    return {system: _counted(rows) for system, rows in votes.items()}


def wilson(accepted: int, n: int, z: float = Z) -> tuple[float, float]:
    """Return Wilson's score interval of a share (Wilson 1927, J. Am. Stat. Assoc. 22, 209-212)."""
    share = accepted / n
    middle, half = share + z * z / (2 * n), z * sqrt((share * (1 - share) + z * z / (4 * n)) / n)
    scale = 1 + z * z / n
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def _path(folder: Path, number: int) -> Path:
    return folder / f"reading-{number}.jsonl"


def _reading(path: Path) -> dict[Judgement, bool]:
    """Read what one reading says of each answer."""
    with as_store_error(f"{path} cannot be read"):
        lines = read_small(path, LARGEST).splitlines()
    reading: dict[Judgement, bool] = {}
    for number, line in enumerate(lines, 1):
        try:
            row = decode(Judgement, line)
        except ValueError as error:
            raise StoreError(f"{path}, line {number}: {error}.") from error
        answer = replace(row, acceptable=None, reason="")
        if row.acceptable is None or answer in reading:
            problem = "is not judged yet" if row.acceptable is None else "is judged twice"
            raise StoreError(f"{path}, line {number}: {row.system}'s answer to {row.example_id} {problem}.")
        reading[answer] = row.acceptable
    return reading


def _counted(rows: list[list[bool]]) -> Acceptability:
    accepted = sum(2 * sum(row) > READINGS for row in rows)
    low, high = wilson(accepted, len(rows))
    return Acceptability(
        n=len(rows),
        accepted=accepted,
        low=low,
        high=high,
        by_reading=tuple(map(sum, zip(*rows, strict=True))),
        unanimous=sum(len(set(row)) == 1 for row in rows),
    )
