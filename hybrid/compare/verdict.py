"""What a comparison says of one system, in one sentence: for who measures, and for who does not."""

from collections.abc import Iterable, Iterator

from hybrid import format as text
from hybrid.compare.bootstrap import Difference, Estimate
from hybrid.compare.paired import GATE_LENGTH, GATE_QUALITY, Fidelity, Gate, PairedComparison
from hybrid.compare.power import POWER, detectable
from hybrid.compare.summary import Summary
from hybrid.compare.trivial import Lead
from hybrid.metrics import METRICS, Metric, main_metric
from hybrid.schema import Task

_SAME = 0.0005  # share of a score that is no difference when it may be chance
IN_BLOCKS = (
    "Intervals of speed-ups that were measured in several blocks, each in a fresh process, hold both what "
    "changes between blocks (Student's t) and between examples (bootstrap); ± is what each alone would make "
    "of the half width."
)
ONE_BLOCK = (
    "Measured in one block: the interval of a speed-up holds what changes from example to example, not what "
    "changes from process to process, as with --blocks 3."
)
ONE_SEED = (
    "One training seed: each model was trained once, and how another training would differ is not in the "
    "intervals of quality."
)
TOGETHER = (
    "Several systems at once: p-values and intervals of their differences are corrected by Holm's method, "
    "for each metric, so that the chance of calling any difference significant where there is none stays at "
    "5 %. Scores, speed-ups and the 99 % target are not corrected: each has a 95 % interval of its own. The "
    "CSV has the differences uncorrected."
)
MDD = (
    "MDD is the minimum detectable difference: one of that size would be significant in "
    f"{text.percent(POWER)} of all benchmarks of this n."
)
SHARES = (
    "Intervals of a share of answers are Wilson's score intervals: the bootstrap of a fault that was never "
    "seen has no width."
)
WORDS = (
    "{label} is counted in the tokens of the tokenizer {tokens} for {language}, and cannot be set "
    "beside scores of another tokenizer."
)
TARGET = "99 % target"  # as people are told of the gate, after GATE_QUALITY
_MOST_N = 100_000  # examples that anybody would measure


def sentence(
    name: str, task: Task, comparison: PairedComparison, baseline: str = "", fidelity: Fidelity | None = None
) -> str:
    """Say `It is 4.6× [4.4, 4.8] faster at -0.3 BLEU [-0.7, 0.1]: the loss is not significant at n = 250.`

    name: what to call the system. baseline: what to call the other one, where
    that does not go without saying. Speed is end to end. A difference is
    significant when its 95 % interval leaves out 0. Whether it meets the 99 %
    target is added, and of a lossless system how many answers are the LLM's.
    """
    metric = main_metric(task)
    quality = (comparison.differences or {}).get(metric.name)
    speed = _speed(comparison.speedups["end_to_end"], baseline)
    same = f"; {_fidelity(fidelity)}" if fidelity else ""
    if quality is None:
        return f"{name} {speed} at n = {comparison.n}; there is no quality to compare{same}."
    at = f"{name} {speed} at {text.difference(quality, metric.label)}"
    if quality.low is None:
        return f"{at}: {too_few(quality.n)}{same}."
    weight, gate = _weight(metric, quality, comparison.agreement), _gate(comparison.gate, quality)
    least = _least(quality, metric, " ({})")
    return f"{at}: {weight} at n = {quality.n}{least}{gate}{same}."


def baseline_sentence(name: str, task: Task, summary: Summary) -> str:
    """Say `LLM alone is the baseline: 34.2 BLEU [33.1, 35.4] and 812 ms for an answer (median) at n = 9.`"""
    metric = main_metric(task)
    parts = []
    if quality := (summary.quality or {}).get(metric.name):
        parts.append(text.estimate(quality, 1, metric.label))
    if latency := summary.latencies["total"]:
        parts.append(f"{text.amount(latency.p50_ms)} ms for an answer (median)")
    return f"{name} is the baseline: {' and '.join(parts) or 'nothing was measured'} at n = {summary.n}."


def trivial_sentence(name: str, task: Task, summary: Summary, comparison: PairedComparison | None) -> str:
    """Say `First 20 words, without a model: 17.2 ROUGE-L [15, 19], +3.6 [1, 6] to the baseline at n = 84.`"""
    metric = main_metric(task)
    score = text.estimate((summary.quality or {}).get(metric.name), 1, metric.label)
    if comparison is None:
        return f"{name}, without a model, is the baseline: {score} at n = {summary.n}."
    quality = (comparison.differences or {}).get(metric.name)
    to_baseline = f", {text.difference(quality)} to the baseline" if quality else ""
    return f"{name}, without a model: {score}{to_baseline} at n = {comparison.n}."


def lead_sentence(name: str, task: Task, lead: Lead) -> str:
    """Say that a system does not beat a trivial one, and by what it misses that."""
    metric = main_metric(task)
    how = "loses to" if lead.difference.decided else "does not beat"
    score = text.estimate(lead.score, 1, metric.label)
    gap = text.difference(lead.difference, metric.label)
    least = _least(lead.difference, metric, " ({})")
    return f"{name} {how} {lead.words} ({score}): {gap} at n = {lead.difference.n}{least}."


def plain_sentence(name: str, baseline: str, comparison: PairedComparison, task: Task) -> str:
    """Say the same for people who do not measure: how fast it is beside the baseline, and what it keeps.

    name, baseline: what to call both.
    """
    speed, gate = _plain_speed(comparison.speedups["end_to_end"], baseline), comparison.gate
    metric = main_metric(task)
    difference = (comparison.differences or {}).get(metric.name)
    if difference is None:
        return f"{name} {speed} (n = {comparison.n}); there is no quality to compare."
    if gate is None:
        score = text.estimate(Estimate(difference.value, None, None, difference.n), 1, metric.label)
        quality = f"it scores {score} where {baseline} scores 0, so that it keeps no share that can be told"
        if comparison.agreement == 1:
            quality = "every answer is the same"
        elif _both_zero(metric, difference):
            quality = f"both score 0 {metric.label}, which tells nothing of their quality"
        return f"{name} {speed}; {quality} (n = {comparison.n})."
    opening = f"{name} {speed} and keeps {text.percent(gate.quality.value, 1)} of its {metric.label}"
    if difference.low is None:
        return f"{opening}: {too_few(difference.n)}."
    least = _least(difference, metric, ", {}")
    if abs(gate.quality.value - 1) < _SAME and not difference.decided:
        return f"{name} {speed} and keeps all of its {metric.label} (n = {comparison.n}{least})."
    change = "loss" if gate.quality.value < 1 else "gain"
    change = f"significant {change}" if difference.decided else f"{change} that is not significant"
    return f"{opening}, a {change} (n = {comparison.n}{least})."


def too_few(n: int) -> str:
    """Say that n examples carry no interval, and so nothing that is significant."""
    return f"too few examples (n = {n}) to tell"


def gate_sentence(name: str, task: Task, comparison: PairedComparison) -> str:
    """Say `Hybrid misses it: 95.1 % [92.3, 97.9] of the BLEU (needs 99 %) and ...`, or why it cannot."""
    gate, metric = comparison.gate, main_metric(task)
    if gate is None:
        quality = (comparison.differences or {}).get(metric.name)
        reason = "there is no quality or length to compare"
        if quality is not None and quality.baseline == 0:
            reason = f"the baseline scores 0 {metric.label}"
        return f"{name}: cannot be told, {reason}."
    if gate.quality.low is None:
        return f"{name}: undecided, {too_few(gate.quality.n)}."
    n = gate.quality.n
    verdict = f"is undecided at n = {n}" if gate.verdict == "undecided" else f"{gate.verdict} it"
    return f"{name} {verdict}: {' and '.join(_parts(gate))}{_needed(gate)}."


def _gate(gate: Gate | None, quality: Difference) -> str:
    """Say what it adds to a sentence that has said n."""
    if gate is None:
        return "; the baseline scores 0" if quality.value and quality.baseline == 0 else ""
    if gate.verdict == "meets":
        return f"; it meets the {TARGET}"
    parts = " and ".join(_parts(gate, in_question=True))
    if gate.verdict == "misses":
        return f"; it misses the {TARGET}: {parts}"
    return f"; the {TARGET} is undecided at this n: {parts}{_needed(gate)}"


def _parts(gate: Gate, in_question: bool = False) -> list[str]:
    """`97.5 % [95.1, 99.9] of the BLEU (needs 99 %)` and the same of the length, none rounded to its need.

    in_question: only what is missed, or left open.
    """
    label = METRICS[gate.metric].label
    parts = []
    for ratio, what, need in ((gate.quality, label, GATE_QUALITY), (gate.length, "length", GATE_LENGTH)):
        missed = ratio.high is not None and ratio.high < need
        met = ratio.low is not None and ratio.low >= need
        if in_question and (met or (gate.verdict == "misses" and not missed)):
            continue
        low, high = (None if end is None else 100 * end for end in (ratio.low, ratio.high))
        digits = text.apart(1, (100 * ratio.value, low, high), 100 * need)
        share = f"{text.percent(ratio.value, digits)}{text.interval(low, high, digits)}"
        parts.append(f"{share} of the {what} (needs {text.percent(need)})")
    return parts


def _needed(gate: Gate) -> str:
    """Say roughly which n would decide it."""
    if gate.deciding_n is None:
        return ""
    power = f"({text.percent(POWER)} power)"
    if gate.deciding_n > _MOST_N:
        return f"; not even n = {_MOST_N:,} would decide it {power}"
    return f"; about n = {text.roughly(gate.deciding_n)} would decide it {power}"


def _fidelity(counted: Fidelity) -> str:
    """Say `248 of 270 answers equal those of LLM alone, torch, both in bfloat16`."""
    equal = f"{counted.equal} of {counted.n} answers equal those of {counted.llm.label}"
    if counted.alike:
        return f"{equal}, both in {counted.dtype}"
    return f"{equal}, which is in {counted.llm_dtype} in another engine and this in {counted.dtype}"


def _speed(speedup: Estimate | None, baseline: str) -> str:
    than = f" than {baseline}" if baseline else ""
    if speedup is None:
        return f"cannot be compared in speed{f' with {baseline}' if baseline else ''}"
    if speedup.low is not None and not speedup.excludes(1.0):
        return f"is not significantly faster or slower{than} ({text.ratio(speedup)})"
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
        return f"is not significantly faster or slower than {baseline}"
    if speedup.value > 1:
        return f"answers {_factor(speedup.value)} times as fast as {baseline}"
    return f"takes {_factor(1 / speedup.value)} times as long as {baseline}"


def _factor(value: float) -> str:
    return f"{value:.0f}" if value >= 20 else f"{value:.1f}" if value >= 1.1 else f"{value:.2f}"


def _weight(metric: Metric, difference: Difference, agreement: float | None) -> str:
    if agreement == 1:
        return "there is no difference, every answer is the same"
    if _both_zero(metric, difference):
        return f"both score 0 {metric.label}, which tells nothing of their quality,"
    if difference.value == difference.low == difference.high == 0:
        return f"there is no difference in {metric.label}"
    if round(difference.value, 1) == 0 and not difference.decided:
        change = "difference"
    else:
        change = "gain" if (difference.value > 0) == bool(metric.higher_is_better) else "loss"
    return f"the {change} is {'significant' if difference.decided else 'not significant'}"


def remarks_on(differences: Iterable[Difference]) -> Iterator[str]:
    """Say how they were tested: for several systems together, and what could have been found."""
    differences = list(differences)
    if any(difference.together > 1 for difference in differences):
        yield TOGETHER
    if any(not difference.decided and detectable(difference) for difference in differences):
        yield MDD


def _least(difference: Difference, metric: Metric, form: str) -> str:
    """Say what could have been found where nothing was. form: with {} for it."""
    least = None if difference.decided else detectable(difference)
    if least is None:
        return ""
    return form.format(f"minimum detectable difference {text.distance(least)} {metric.label}")


def _both_zero(metric: Metric, difference: Difference) -> bool:
    """Tell whether nothing that either wrote scores: answers of any kind would look the same."""
    return bool(metric.higher_is_better) and difference.baseline == 0 == difference.value
