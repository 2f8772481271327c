"""The figure of how latencies are spread."""

from hybrid.compare.verdict import milliseconds
from hybrid.presentation.charts.ecdf import Percentile, Steps, ecdf
from hybrid.presentation.views.tradeoffs.chosen import COLUMNS, Chosen, Drawn, Shown, ends, in_ms, titled
from hybrid.presentation.views.tradeoffs.distributions import PERCENTS, Distribution
from hybrid.presentation.views.tradeoffs.measured import LATENCIES
from hybrid.store.tables import Table

MARKED = (50, 90, 99)
_COLUMNS = (
    COLUMNS
    | {"n": "independent measurements: examples, or batches", "answers": "values that percentiles are of"}
    | {f"p{percent}_ms": f"percentile {percent}, linear interpolation" for percent in PERCENTS}
    | {"p50_ms_low": "lower end of the 95 % bootstrap interval of p50", "p50_ms_high": "upper end of it"}
    | {"carried": "the percentiles that n can carry; others are guesses"}
)


def spread_figure(chosen: Chosen, latency: str) -> Drawn | None:
    """None when nothing has this latency. latency: of LATENCIES."""
    found = [(one, one.times.latencies[latency]) for one in chosen if latency in one.times.latencies]
    if not found:
        return None
    title = LATENCIES[latency]
    made = ecdf([_steps(one, spread) for one, spread in found], f"{titled(title)} (ms)", chosen.between.flag)
    rows = [
        (
            *one.cells, spread.p50.n, spread.answers, *spread.percentiles, *ends(spread.p50)[1:],
            " ".join(f"p{percent}" for percent in spread.carried),
        )
        for one, spread in found
    ]  # fmt: skip
    return Drawn(made, _says(found, title, chosen), Table(_COLUMNS, rows))


def _steps(one: Shown, spread: Distribution) -> Steps:
    return Steps(
        one.mark, spread.values, spread.shares, spread.carried_share,
        tuple(_percentile(percent, spread) for percent in MARKED),
    )  # fmt: skip


def _percentile(percent: int, spread: Distribution) -> Percentile:
    value, n = _at(spread, percent), spread.p50.n
    carried = percent in spread.carried
    said = in_ms(spread.p50) if percent == 50 else f"{milliseconds(value)} ms"
    doubt = "" if carried else ", too few to carry it"
    return Percentile(percent, value, carried, f"p{percent}: {said}, n = {n}{doubt}")


def _at(spread: Distribution, percent: int) -> float:
    return spread.percentiles[PERCENTS.index(percent)]


def _says(found: list[tuple[Shown, Distribution]], title: str, chosen: Chosen) -> str:
    main = {(one.run_id, one.system) for one in chosen.main}
    parts = [
        f"{one.mark.name} {in_ms(spread.p50)} and {milliseconds(_at(spread, 90))} ms (n = {spread.p50.n})"
        for one, spread in found
        if (one.run_id, one.system) in main
    ]
    fewest = min((spread for _, spread in found), key=lambda spread: spread.p50.n)
    lost = [f"p{percent}" for percent in MARKED if percent not in fewest.carried]
    doubt = ""
    if lost:
        doubt = f" n = {fewest.p50.n} is too small for {' and '.join(lost)}: faded, with hollow marks."
    return (
        f"Share of answers within a time, {title}; marks are p50, p90 and p99. "
        f"p50, with its 95 % bootstrap interval, and p90: {'; '.join(parts)}.{doubt}{chosen.remark}"
    )
