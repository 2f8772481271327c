"""What a comparison says of one system, in one sentence: for who measures, and for who does not."""

from hybrid import format as text
from hybrid.compare.bootstrap import Difference, Estimate
from hybrid.compare.paired import GATE_LENGTH, GATE_QUALITY, Gate, PairedComparison
from hybrid.compare.summary import Summary
from hybrid.metrics import METRICS, Metric, main_metric

_SAME = 0.0005  # share of a score that is no difference when it may be chance


def sentence(name: str, task: str, comparison: PairedComparison, baseline: str = "") -> str:
    """Say `hybrid is 4.6× [4.4, 4.8] faster at -0.3 BLEU [-0.7, 0.1]: the loss is not decisive at n = 250.`

    name: what to call the system. baseline: what to call the other one, where
    that does not go without saying. Speed is end to end. A difference is
    decisive when its 95 % interval leaves out 0. A gate that fails is added.
    """
    metric = main_metric(task)
    quality = (comparison.differences or {}).get(metric.name)
    speed = _speed(comparison.speedups["end_to_end"], baseline)
    if quality is None:
        return f"{name} {speed} at n = {comparison.n}; there is no quality to compare."
    amount = text.difference(quality, metric.label)
    gate = ""
    if comparison.gate and not comparison.gate.passed:
        gate = f"; it fails the gate: {gate_parts(comparison.gate, failed_only=True)}"
    if quality.low is None:
        return f"{name} {speed} at {amount}: one example carries no interval{gate}."
    return f"{name} {speed} at {amount}: {_weight(metric, quality)} at n = {quality.n}{gate}."


def baseline_sentence(name: str, task: str, summary: Summary) -> str:
    """Say `llm is the baseline: 34.2 BLEU [33.1, 35.4] and 812 ms for an answer (median) at n = 250.`"""
    metric = main_metric(task)
    parts = []
    if quality := (summary.quality or {}).get(metric.name):
        parts.append(text.estimate(quality, 1, metric.label))
    if latency := summary.latencies["total"]:
        parts.append(f"{text.amount(latency.p50_ms)} ms for an answer (median)")
    return f"{name} is the baseline: {' and '.join(parts) or 'nothing was measured'} at n = {summary.n}."


def plain_sentence(name: str, baseline: str, comparison: PairedComparison) -> str:
    """Say the same for people who do not measure: how fast it is beside the baseline, and what it keeps.

    name, baseline: what to call both.
    """
    speed, gate = _plain_speed(comparison.speedups["end_to_end"], baseline), comparison.gate
    if gate is None:
        return f"{name} {speed} (n = {comparison.n}); there is no quality to compare."
    label, difference = METRICS[gate.metric].label, (comparison.differences or {}).get(gate.metric)
    decided = difference is not None and difference.decided
    change = "loss" if gate.quality_ratio < 1 else "gain"
    quality = (
        f"keeps {text.percent(gate.quality_ratio, 1)} of its {label}, "
        f"a {change} {'beyond chance' if decided else 'that may be chance'}"
    )
    if abs(gate.quality_ratio - 1) < _SAME and not decided:
        quality = f"keeps all of its {label}"
    return f"{name} {speed} and {quality} (n = {comparison.n})."


def gate_parts(gate: Gate, failed_only: bool = False) -> str:
    """Say `97.5 % of the BLEU (needs 99 %) and 99.7 % of the length (needs 90 %)`, none rounded to it."""
    label = METRICS[gate.metric].label
    parts = ((gate.quality_ratio, label, GATE_QUALITY), (gate.length_ratio, "length", GATE_LENGTH))
    return " and ".join(
        f"{text.percent(part, text.apart(1, (100 * part,), 100 * need))} of the {what} "
        f"(needs {text.percent(need)})"
        for part, what, need in parts
        if part < need or not failed_only
    )


def _speed(speedup: Estimate | None, baseline: str) -> str:
    than = f" than {baseline}" if baseline else ""
    if speedup is None:
        return f"cannot be compared in speed{f' with {baseline}' if baseline else ''}"
    if speedup.low is not None and not speedup.excludes(1.0):
        return f"is neither faster nor slower{than} ({text.ratio(speedup)})"
    if speedup.value == 1:
        return f"is exactly as fast{f' as {baseline}' if baseline else ''}"
    if speedup.value > 1:
        return f"is {text.ratio(speedup)} faster{than}"
    low, high = (None if end is None else 1 / end for end in (speedup.high, speedup.low))
    return f"is {text.ratio(Estimate(1 / speedup.value, low, high, speedup.n))} slower{than}"


def _plain_speed(speedup: Estimate | None, baseline: str) -> str:
    if speedup is None:
        return f"cannot be compared in speed with {baseline}"
    if speedup.value == 1 or (speedup.low is not None and not speedup.excludes(1.0)):
        return f"is as fast as {baseline}, chance considered,"
    if speedup.value > 1:
        return f"answers {_factor(speedup.value)} times as fast as {baseline}"
    return f"takes {_factor(1 / speedup.value)} times as long as {baseline}"


def _factor(value: float) -> str:
    return f"{value:.0f}" if value >= 20 else f"{value:.1f}" if value >= 1.1 else f"{value:.2f}"


def _weight(metric: Metric, difference: Difference) -> str:
    if difference.value == difference.low == difference.high == 0:
        return "there is no difference"
    if difference.value == 0:
        change = "difference"
    else:
        change = "gain" if (difference.value > 0) == bool(metric.higher_is_better) else "loss"
    return f"the {change} is {'decisive' if difference.decided else 'not decisive'}"
