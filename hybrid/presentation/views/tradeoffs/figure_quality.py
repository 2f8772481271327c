"""The figure of quality against latency."""

from dataclasses import dataclass

from hybrid.metrics import METRICS, Metric
from hybrid.presentation.charts.tradeoff import Spot, quality_against_latency
from hybrid.presentation.views.tradeoffs.chosen import (
    COLUMNS,
    Chosen,
    Drawn,
    Shown,
    ends,
    in_ms,
    listed,
    scored,
    titled,
)
from hybrid.presentation.views.tradeoffs.frontier import Point, frontiers, points
from hybrid.presentation.views.tradeoffs.measured import LATENCIES
from hybrid.schema import METHODS
from hybrid.store.tables import Table

_SHORT = {"llm": "LLM", "slm": "SLM", "hybrid": "Hybrid"}
_COLUMNS = COLUMNS | {
    "n": "examples with quality",
    "latency_ms": "median over all answers",
    "latency_ms_low": "lower end of its 95 % bootstrap interval",
    "latency_ms_high": "upper end of it",
    "latency_n": "examples, or batches, behind it",
    "quality": "score of all answers together",
    "quality_low": "lower end of its 95 % bootstrap interval",
    "quality_high": "upper end of it",
    "frontier": "whether no other system of comparable runs beats it",
}


@dataclass(frozen=True)
class _Placed:
    shown: Shown
    point: Point


def quality_figure(chosen: Chosen, metric: str, latency: str) -> Drawn | None:
    """None when no system has both. metric: of hybrid.metrics; latency: of LATENCIES."""
    shown = {(one.run_id, one.system): one for one in chosen}
    found = points(chosen.runs, chosen.between.groups, metric, latency, set(shown))
    if not found:
        return None
    placed = [_Placed(shown[one.run_id, one.system], one) for one in found]
    by, scale = METRICS[metric], LATENCIES[latency]
    made = quality_against_latency(
        [_spot(one, by) for one in placed],
        [[(one.latency.value, one.quality.value) for one in line] for line in frontiers(found)],
        f"{titled(scale)}, median (ms)",
        f"{by.label} ({'higher' if by.higher_is_better else 'lower'} is better)",
        not by.higher_is_better,
        chosen.between.flag,
    )
    rows = [
        (
            *one.shown.cells, one.point.quality.n, *ends(one.point.latency), one.point.latency.n,
            *ends(one.point.quality), one.point.best,
        )
        for one in placed
    ]  # fmt: skip
    return Drawn(made, _says(placed, by, scale, chosen), Table(_COLUMNS | _named(by), rows))


def without_quality(chosen: Chosen, metric: str) -> list[str]:
    """Ids of the runs none of whose systems has a score, as those of fixed length."""
    return [
        digest.run_id
        for digest, _ in chosen.runs
        if all(row.get(metric) is None for row in digest.rows.values())
    ]


def _named(metric: Metric) -> dict[str, str]:
    return {"quality": f"{metric.label} of all answers together"}


def _spot(one: _Placed, metric: Metric) -> Spot:
    point, engine = one.point, one.point.engine
    method = one.shown.system.method
    short = _SHORT.get(method) or METHODS[method].label
    lines = (
        f"{in_ms(point.latency)}, n = {point.latency.n}",
        f"{scored(point.quality, metric.label)}, n = {point.quality.n}",
        f"engine {engine}, {one.shown.row['device_name']}",
        f"run {point.run_id}",
    )
    text = f"{short}, {engine}" if one.shown.system.engine else short
    return Spot(one.shown.mark, ends(point.latency), ends(point.quality), text, lines)


def _says(placed: list[_Placed], metric: Metric, latency: str, chosen: Chosen) -> str:
    keys = {(one.run_id, one.system) for one in chosen.main}
    numbers = [
        f"{one.shown.mark.name} {in_ms(one.point.latency)} and {scored(one.point.quality, metric.label)} "
        f"(n = {one.point.quality.n})"
        for one in placed
        if (one.shown.run_id, one.shown.system) in keys
    ]
    best = [one.shown.mark.name for one in placed if one.point.best]
    groups = len({one.point.group for one in placed})
    among = "" if groups == 1 else ", each among runs that can be compared"
    return (
        f"{metric.label} against {latency}, with 95 % bootstrap intervals of both: {'; '.join(numbers)}. "
        f"No other system is at once as fast and as good as {listed(best)} (the Pareto frontier{among})."
        f"{chosen.remark}"
    )
