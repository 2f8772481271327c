"""How far a run is, and how fast its systems have been so far."""

import statistics
import time
from bisect import insort
from collections.abc import Iterable, Sequence

from hybrid.schema import BASELINE, Plan, Progress, Record, Speedup, System


class RunProgress:
    """Counts the records of a run as they come.

    stored: records that a resumed run has already; they count, but say nothing of its pace.
    """

    def __init__(self, plan: Plan, planned: int, stored: Iterable[Record] = ()) -> None:
        self.planned = planned
        self.done = 0
        self._systems = [system for system in plan.systems if system != BASELINE]
        self._totals_s: dict[tuple[int, int, System], float] = {}  # of batches, by repeat, batch, system
        self._ratios: dict[System, list[float]] = {system: [] for system in self._systems}  # sorted
        for record in stored:
            self.count([record])
        self._first: tuple[float, int] | None = None  # when the first item ended, and what was done then
        self._last_s = 0.0

    def add(self, records: Sequence[Record], at_s: float | None = None) -> None:
        """Count the records of an item that was measured. at_s: when it ended; now, when None."""
        self.count(records)
        self._last_s = time.monotonic() if at_s is None else at_s
        if self._first is None:
            self._first = self._last_s, self.done

    def count(self, records: Sequence[Record]) -> None:
        """Count records of an item that say nothing of the pace."""
        self.done += len(records)
        for record in records[:1]:  # the rows of a batch share its time
            batch = record.repeat, record.batch
            if (*batch, record.system) in self._totals_s:
                continue
            self._totals_s[*batch, record.system] = record.generation.timing.total_s
            # A pair is complete with the later of its two items.
            for system in self._systems if record.system == BASELINE else [record.system]:
                own, base = self._totals_s.get((*batch, system)), self._totals_s.get((*batch, BASELINE))
                if own and base:
                    insort(self._ratios[system], base / own)

    @property
    def speedups(self) -> dict[str, Speedup]:
        """Median paired end-to-end ratio to the LLM, by system; without a pair none."""
        return {
            system: Speedup(statistics.median(ratios), len(ratios))
            for system, ratios in self._ratios.items()
            if ratios
        }

    @property
    def eta_s(self) -> float | None:
        """Seconds left at the pace since the first item; None before there is one, and at the end."""
        if self._first is None or self.done in (self._first[1], self.planned):
            return None
        first_s, first = self._first
        return (self._last_s - first_s) / (self.done - first) * (self.planned - self.done)

    @property
    def event(self) -> Progress:
        """All of it, for an observer."""
        return Progress(done=self.done, planned=self.planned, eta_s=self.eta_s, speedups=self.speedups)
