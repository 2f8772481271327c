"""What long work tells of itself while it goes on: events for a terminal, a page or a log.

A use case of the library takes one observer and calls it with each event; a
benchmark's own process writes them as JSON lines, which a page reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Status:
    """Something that takes a while begins. sentence: what."""

    sentence: str


@dataclass(frozen=True, kw_only=True)
class Notice:
    """The user should know something that stops nothing."""

    sentence: str


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Another measurement has the machine; this one begins after it."""

    sentence: str


@dataclass(frozen=True, kw_only=True)
class Started:
    """A stored run begins or goes on.

    title: what is measured, such as the suite's name.
    planned: parts of it when complete. done: of these, stored before.
    """

    run_id: str
    title: str
    planned: int
    done: int = 0


@dataclass(frozen=True)
class Speedup:
    """The median of `n` paired end-to-end ratios to the baseline; above 1 is faster."""

    median: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Work of `planned` parts has come to `done`; sent now and then, and always for the last part.

    eta_s: seconds left, None while unknown. speedups: preliminary, by system.
    detail: what has just been measured, where that is worth a word.
    """

    done: int
    planned: int
    eta_s: float | None = None
    speedups: Mapping[str, Speedup] = field(default_factory=dict)
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A run is complete and stored. busy: why its machine counts as busy meanwhile."""

    run_id: str
    busy: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Interrupted:
    """A run ended early: `done` of its `planned` parts are stored, and it can be resumed."""

    run_id: str
    done: int
    planned: int


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A process ends without a result. error: the error's class; sentence: as it is shown to people."""

    error: str
    sentence: str


Event = Status | Notice | Waiting | Started | Progress | Finished | Interrupted | Failed


class Observer(Protocol):
    """Whoever is told of events; what it raises ends the work."""

    def __call__(self, event: Event, /) -> None: ...


def silent(event: Event, /) -> None:
    """Observe nothing."""
