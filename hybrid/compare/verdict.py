"""What a comparison says, in one sentence."""

from hybrid.compare.bootstrap import Difference, Estimate
from hybrid.compare.comparison import Against
from hybrid.compare.summary import Summary
from hybrid.metrics import METRICS, Metric, metrics_of


def sentence(name: str, task: str, found: Against) -> str:
    """`hybrid is 4.6x [4.4, 4.8] faster at -0.3 BLEU [-0.7, 0.1]: the loss is not decisive at n = 250.`

    name: what to call the system. Speed is end to end. A difference is decisive
    when its 95 % interval leaves out 0.
    """
    metric = METRICS[metrics_of(task)[0]]
    quality = (found.differences or {}).get(metric.name)
    speed = _speed(found.speedups["end_to_end"])
    if quality is None:
        return f"{name} {speed} at n = {found.n}; there is no quality to compare."
    amount = signed(quality, metric.label)
    if quality.low is None:
        return f"{name} {speed} at {amount}: one example carries no interval."
    return f"{name} {speed} at {amount}: {_weight(metric, quality)} at n = {quality.n}."


def baseline_sentence(name: str, task: str, summary: Summary) -> str:
    """`llm is the baseline: 34.2 BLEU [33.1, 35.4] and 812 ms for an answer (median) at n = 250.`"""
    metric = METRICS[metrics_of(task)[0]]
    parts = []
    if quality := (summary.quality or {}).get(metric.name):
        parts.append(f"{quality.value:.1f} {metric.label}{interval(quality, 1)}")
    if latency := summary.latencies["total"]:
        parts.append(f"{milliseconds(latency.p50_ms)} ms for an answer (median)")
    return f"{name} is the baseline: {' and '.join(parts) or 'nothing was measured'} at n = {summary.n}."


def signed(found: Difference, label: str = "") -> str:
    """`-0.3 BLEU [-0.7, 0.1]`, with as many decimals as show that a small difference is one."""
    digits = next((d for d in (1, 2, 3) if not found.value or round(abs(found.value), d)), 4)
    value = f"{found.value:+.{digits}f}" if found.value else "0.0"
    return f"{value}{' ' * bool(label)}{label}{interval(found, digits)}"


def ratio(found: Estimate) -> str:
    """`4.6x [4.4, 4.8]`, with two decimals below 2."""
    digits = 1 if found.value >= 2 else 2
    return f"{found.value:.{digits}f}x{interval(found, digits)}"


def milliseconds(value: float) -> str:
    """Three digits that count, or more: `1,240`, `41.2`, `5.20`, `0.31`."""
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def _speed(found: Estimate | None) -> str:
    if found is None:
        return "cannot be compared in speed"
    if found.low is not None and not found.excludes(1.0):
        return f"is neither faster nor slower ({ratio(found)})"
    if found.value >= 1:
        return f"is {ratio(found)} faster" if found.value > 1 else "is exactly as fast"
    low, high = (None if end is None else 1 / end for end in (found.high, found.low))
    return f"is {ratio(Estimate(1 / found.value, low, high, found.n))} slower"


def _weight(metric: Metric, found: Difference) -> str:
    if found.value == 0:
        what = "difference"
    else:
        what = "gain" if (found.value > 0) == bool(metric.higher_is_better) else "loss"
    if found.value == found.low == found.high == 0:
        return "there is no difference"
    return f"the {what} is {'decisive' if found.decided else 'not decisive'}"


def interval(found: Estimate, digits: int) -> str:
    """` [33.1, 35.2]`, with a space before it; nothing when there is none."""
    if found.low is None or found.high is None:
        return ""
    low, high = (f"{round(end, digits) + 0.0:.{digits}f}" for end in (found.low, found.high))  # no -0.0
    return f" [{low}, {high}]"
