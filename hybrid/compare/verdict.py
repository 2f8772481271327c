"""What a comparison says, in one sentence."""

from collections.abc import Sequence

from hybrid.compare.bootstrap import Difference, Estimate
from hybrid.compare.paired import GATE_LENGTH, GATE_QUALITY, Gate, PairedComparison
from hybrid.compare.summary import Summary
from hybrid.metrics import METRICS, Metric, main_metric

_MOST_DIGITS = 6


def sentence(name: str, task: str, found: PairedComparison, baseline: str = "") -> str:
    """`hybrid is 4.6x [4.4, 4.8] faster at -0.3 BLEU [-0.7, 0.1]: the loss is not decisive at n = 250.`

    name: what to call the system. baseline: what to call the other one, where
    that does not go without saying. Speed is end to end. A difference is
    decisive when its 95 % interval leaves out 0. A gate that fails is added.
    """
    metric = main_metric(task)
    quality = (found.differences or {}).get(metric.name)
    speed = _speed(found.speedups["end_to_end"], baseline)
    if quality is None:
        return f"{name} {speed} at n = {found.n}; there is no quality to compare."
    amount = signed(quality, metric.label)
    gate = ""
    if found.gate and not found.gate.passed:
        gate = f"; it fails the gate: {gate_parts(found.gate, failed_only=True)}"
    if quality.low is None:
        return f"{name} {speed} at {amount}: one example carries no interval{gate}."
    return f"{name} {speed} at {amount}: {_weight(metric, quality)} at n = {quality.n}{gate}."


def baseline_sentence(name: str, task: str, summary: Summary) -> str:
    """`llm is the baseline: 34.2 BLEU [33.1, 35.4] and 812 ms for an answer (median) at n = 250.`"""
    metric = main_metric(task)
    parts = []
    if quality := (summary.quality or {}).get(metric.name):
        parts.append(f"{quality.value:.1f} {metric.label}{interval(quality, 1)}")
    if latency := summary.latencies["total"]:
        parts.append(f"{milliseconds(latency.p50_ms)} ms for an answer (median)")
    return f"{name} is the baseline: {' and '.join(parts) or 'nothing was measured'} at n = {summary.n}."


def signed(found: Difference, label: str = "") -> str:
    """`-0.3 BLEU [-0.7, 0.1]`, with as many decimals as show that a small difference is one."""
    ends = (found.low, found.high) if found.decided else ()
    digits = _digits(1, (found.value, *ends), beside=0.0)
    value = f"{found.value:+.{digits}f}" if round(found.value, digits) else f"{0:.{digits}f}"
    return f"{value}{' ' * bool(label)}{label}{interval(found, digits)}"


def ratio(found: Estimate) -> str:
    """`4.6x [4.4, 4.8]`: two decimals below 2, three below 0.1; more where 1 lies narrowly outside."""
    faster = found.low is None or found.excludes(1.0)
    compared = (found.value, found.low, found.high) if faster else ()
    digits = _digits(1 if found.value >= 2 else 2 if found.value >= 0.1 else 3, compared, beside=1.0)
    return f"{found.value:.{digits}f}x{interval(found, digits)}"


def gate_parts(gate: Gate, failed_only: bool = False) -> str:
    """`97.5 % of the BLEU (needs 99 %) and 99.7 % of the length (needs 90 %)`; none rounded to its need."""
    label = METRICS[gate.metric].label
    parts = ((gate.quality_ratio, label, GATE_QUALITY), (gate.length_ratio, "length", GATE_LENGTH))
    return " and ".join(
        f"{100 * part:.{_digits(1, (100 * part,), 100 * need)}f} % of the {what} (needs {100 * need:.0f} %)"
        for part, what, need in parts
        if part < need or not failed_only
    )


def milliseconds(value: float) -> str:
    """Two digits that count, or more: `1,240`, `41.2`, `5.20`, `0.31`, `0.043`."""
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2 if value >= 0.1 else 3}f}"


def _speed(found: Estimate | None, baseline: str) -> str:
    than = f" than {baseline}" if baseline else ""
    if found is None:
        return f"cannot be compared in speed{f' with {baseline}' if baseline else ''}"
    if found.low is not None and not found.excludes(1.0):
        return f"is neither faster nor slower{than} ({ratio(found)})"
    if found.value == 1:
        return f"is exactly as fast{f' as {baseline}' if baseline else ''}"
    if found.value > 1:
        return f"is {ratio(found)} faster{than}"
    low, high = (None if end is None else 1 / end for end in (found.high, found.low))
    return f"is {ratio(Estimate(1 / found.value, low, high, found.n))} slower{than}"


def _digits(least: int, values: Sequence[float | None], beside: float) -> int:
    """Decimals, `least` or more, with which no value looks like `beside` without being it."""

    def alike(value: float, digits: int) -> bool:
        return round(value, digits) == round(beside, digits)

    apart = [value for value in values if value is not None and not alike(value, _MOST_DIGITS)]
    choices = range(least, _MOST_DIGITS + 1)
    return next(digits for digits in choices if not any(alike(value, digits) for value in apart))


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
