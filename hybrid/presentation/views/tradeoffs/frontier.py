"""Quality beside latency: a point for each system of each run, and which of them no other one beats."""

from collections.abc import Container, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

from hybrid.compare import Estimate
from hybrid.metrics import METRICS, metrics_of
from hybrid.presentation.views.digest import Digest, number
from hybrid.presentation.views.tradeoffs.measured import Tradeoffs
from hybrid.schema import TASKS, System


@dataclass(frozen=True)
class Point:
    """latency: the median in ms. quality: in the metric's unit. Both with their interval.

    best: no other point of its group is at least as good in both, and better in one.
    """

    run_id: str
    system: System
    engine: str
    group: Hashable
    latency: Estimate
    quality: Estimate
    best: bool = False


def qualities(task: str) -> tuple[str, ...]:
    """Metrics that say better or worse, the main one first; none for a task that is not known."""
    if task not in TASKS:
        return ()
    return tuple(name for name in metrics_of(task) if METRICS[name].higher_is_better is not None)


def points(
    runs: Sequence[tuple[Digest, Tradeoffs]],
    groups: Mapping[str, Hashable],
    metric: str,
    latency: str,
    wanted: Container[tuple[str, System]],
) -> list[Point]:
    """Every system that has both, run by run. wanted: run ids and systems.

    groups: by run id, the same for runs whose numbers can be compared.
    """
    found = []
    for digest, times in runs:
        for system, row in digest.rows.items():
            value, low, high = (number(row, name) for name in (metric, f"{metric}_low", f"{metric}_high"))
            spread = times.systems[system].latencies.get(latency) if system in times.systems else None
            if value is None or spread is None or (digest.run_id, system) not in wanted:
                continue
            quality = Estimate(value, low, high, int(number(row, "n") or 0))
            group, engine = groups[digest.run_id], str(row.get("engine"))
            found.append(Point(digest.run_id, system, engine, group, spread.p50, quality))
    return _marked(found, bool(METRICS[metric].higher_is_better))


def frontier(pairs: Sequence[tuple[float, float]], higher_is_better: bool) -> list[int]:
    """Places of the pairs of latency and quality that no other one beats, in ascending order of latency.

    One beats another when it is at least as good in both and better in one:
    equal pairs are both on it, of two with the same latency only the better one.
    """
    sign = 1 if higher_is_better else -1
    scored = [(latency, sign * quality) for latency, quality in pairs]

    def beaten(one: tuple[float, float]) -> bool:
        return any(x <= one[0] and y >= one[1] and (x, y) != one for x, y in scored)

    return sorted((i for i, one in enumerate(scored) if not beaten(one)), key=lambda i: scored[i])


def frontiers(found: Sequence[Point]) -> list[list[Point]]:
    """The best points of each group, in ascending order of latency."""
    groups = dict.fromkeys(point.group for point in found)
    best = [[point for point in found if point.group == group and point.best] for group in groups]
    return [sorted(one, key=lambda point: point.latency.value) for one in best if one]


def _marked(found: Sequence[Point], higher_is_better: bool) -> list[Point]:
    best: set[int] = set()
    for group in dict.fromkeys(point.group for point in found):
        places = [i for i, point in enumerate(found) if point.group == group]
        pairs = [(found[i].latency.value, found[i].quality.value) for i in places]
        best.update(places[i] for i in frontier(pairs, higher_is_better))
    return [replace(point, best=i in best) for i, point in enumerate(found)]
