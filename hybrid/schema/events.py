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
    """A stored run begins or goes on. planned: records when complete. done: records stored before."""

    run_id: str
    planned: int
    done: int = 0


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Work of `planned` parts has come to `done`.

    eta_s: seconds left, None while unknown. speedups: preliminary median speed-ups by system.
    """

    done: int
    planned: int
    eta_s: float | None = None
    speedups: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A run is complete and stored."""

    run_id: str


@dataclass(frozen=True, kw_only=True)
class Failed:
    """Work has ended early. error: the error's class; sentence: as it is shown to people."""

    error: str
    sentence: str


Event = Status | Notice | Waiting | Started | Progress | Finished | Failed


class Observer(Protocol):
    """Whoever is told of events; what it raises ends the work."""

    def __call__(self, event: Event, /) -> None: ...


def silent(event: Event, /) -> None:
    """Observe nothing."""
