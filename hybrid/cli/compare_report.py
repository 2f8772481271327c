"""What `hybrid compare` prints: what it comes to, tables, what to beware of, how it was computed."""

import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from shutil import get_terminal_size

from hybrid.cli.console import harmless
from hybrid.compare import ComparedSystem, Comparison, Estimate, Latency, PairedComparison
from hybrid.compare.summary import PERCENTILES, carries
from hybrid.compare.verdict import gate_parts, interval, milliseconds, ratio, signed
from hybrid.compare.warnings import PLURALS
from hybrid.metrics import METRICS, Metric

NOTHING = "-"
PIPED = 1000  # columns: wide enough for any table
Cells = Callable[[ComparedSystem], Mapping[str, str]]  # by heading, what a table shows of one system


def report(found: Comparison) -> Iterator[str]:
    """Lines of text; what a run from elsewhere holds cannot move the terminal's cursor."""
    return map(harmless, _report(found))


def _report(found: Comparison) -> Iterator[str]:
    runs = {one.summary.run_id: one for one in found.systems}
    places = {run_id: f"[{number}]" for number, run_id in enumerate(runs, start=1)}
    several = len(runs) > 1
    rows = [
        (f"{one.summary.system}{' ' + places[one.summary.run_id] if several else ''}", one)
        for one in found.systems
    ]
    for one in found.systems:
        yield from _wrapped(one.verdict)
    if several:
        yield ""
        for run_id, one in runs.items():
            where = f"{one.suite}, {one.pair}, {one.engine} on {one.device}"
            yield from _wrapped(f"{places[run_id]} {run_id}: {where}")
    for task in dict.fromkeys(one.task for one in found.systems):
        of_task = [row for row in rows if row[1].task == task]
        metrics = found.metrics_of(task)
        yield from _table(f"Quality, {task}", partial(_quality, metrics), of_task)
        differences = partial(_difference, metrics)
        yield from _table("Difference to the baseline, with p; ratio of lengths", differences, of_task)
    yield from _table("Speed-up over the baseline", _speed, rows)
    yield from _table("Latency in ms: p50 / p90 / p99 of all answers", _latency, rows)
    yield from _table("Throughput, memory, cost", _throughput, rows)
    if any(one.summary.roofline for one in found.systems):
        yield from _table("Beside what the device allows", _roofline, rows)
    gates = [_gate(name, one.against) for name, one in rows if one.against]
    yield from _list("Gate: may it stand in for the baseline?", gates)
    yield from _list("Beware", found.warnings)
    yield from _list("How this was computed", list(_notes(found)))


def _quality(metrics: Sequence[Metric], one: ComparedSystem) -> Mapping[str, str]:
    quality = one.summary.quality or {}
    cells = {"n": f"{one.summary.n:,}"}
    for metric in metrics:
        digits = 1 if metric.unit == "points" else 2
        cells[_heading(metric)] = _estimate(quality.get(metric.name), digits)
    return cells


def _difference(metrics: Sequence[Metric], one: ComparedSystem) -> Mapping[str, str]:
    metrics = [metric for metric in metrics if metric.higher_is_better is not None]
    if (against := one.against) is None:
        return {_heading(metrics[0]): "baseline"}
    cells = {"n": f"{against.n:,}"}
    for metric in metrics:
        found = (against.differences or {}).get(metric.name)
        p = "" if found is None or found.p_value is None else f"  {_p(found.p_value)}"
        cells[_heading(metric)] = f"{signed(found)}{p}" if found else NOTHING
    cells["length"] = _estimate(against.length_ratio, 2)
    cells["same text"] = NOTHING if against.agreement is None else f"{100 * against.agreement:.0f} %"
    return cells


def _speed(one: ComparedSystem) -> Mapping[str, str]:
    if (against := one.against) is None:
        return {"end to end": "baseline"}
    headings = {"end_to_end": "end to end", "per_token": "per token (TPOT)", "ttft": "first token (TTFT)"}
    found = {heading: against.speedups[name] for name, heading in headings.items()}
    pairs = max((speedup.n for speedup in found.values() if speedup), default=0)
    cells = {heading: ratio(speedup) if speedup else NOTHING for heading, speedup in found.items()}
    return cells | {"pairs": f"{pairs:,}", "of": PLURALS[against.paired_by]}


def _latency(one: ComparedSystem) -> Mapping[str, str]:
    latencies = one.summary.latencies
    total = latencies["total"]
    headings = {"total": "end to end", "ttft": "first token (TTFT)", "tpot": "per token (TPOT)"}
    cells = {"n": f"{total.n:,}" if total else NOTHING}
    return cells | {heading: _percentiles(latencies[name]) for name, heading in headings.items()}


def _percentiles(latency: Latency | None) -> str:
    if latency is None:
        return NOTHING
    values = [(p, milliseconds(getattr(latency, f"p{p}_ms"))) for p in PERCENTILES]
    return " / ".join(value if p in latency.carried else f"({value})" for p, value in values)


def _throughput(one: ComparedSystem) -> Mapping[str, str]:
    summary = one.summary
    cells = {
        "tokens/s": _amount(summary.tokens_per_s),
        "characters/s": _amount(summary.characters_per_s),
        "requests/s": _amount(summary.requests_per_s),
        "tokens an answer": f"{summary.mean_output_tokens:.1f}",
        "peak memory": NOTHING if summary.memory is None else f"{summary.memory.resident / 1e6:,.0f} MB",
    }
    if summary.acceptance is not None:
        cells["drafts accepted"] = f"{100 * summary.acceptance:.0f} %"
    if summary.memory and summary.memory.device:
        cells["of the GPU"] = f"{summary.memory.device / 1e6:,.0f} MB"
    if summary.cost_per_million_tokens is not None:
        cells["cost of 1M output tokens"] = _amount(summary.cost_per_million_tokens)
    return cells


def _roofline(one: ComparedSystem) -> Mapping[str, str]:
    """Megabytes and billions of operations: a prompt's, and per second."""
    if (found := one.summary.roofline) is None:
        return {}
    share, rate = found.decode_bound_share, found.encode_flops_per_s
    return {
        "weights read per token": f"{found.decode_bytes / 1e6:,.1f} MB",
        "at least, ms": milliseconds(found.decode_bound_ms),
        "bandwidth achieved": NOTHING if share is None else f"{100 * share:.0f} %",
        "reading a prompt": f"{found.encode_flops / 1e9:,.2f} GFLOP",
        "achieved": NOTHING if rate is None else f"{rate / 1e9:,.0f} GFLOP/s",
    }


def _gate(name: str, against: PairedComparison) -> str:
    if (gate := against.gate) is None:
        return f"{name}: cannot be said, there is no quality or length to compare."
    return f"{name} {'passes' if gate.passed else 'fails'}: {gate_parts(gate)}."


def _notes(found: Comparison) -> Iterator[str]:
    yield (
        f"[low, high]: {100 * found.level:.0f} % percentile bootstrap interval over examples, "
        f"{found.resamples:,} resamples, seed {found.seed}; differences, p and speed-ups are paired. "
        "Decisive: 0 lies outside."
    )
    yield (
        "p is sacrebleu's: a small one is about half of a two-sided p. "
        "The interval decides, not p: p may be below 0.05 beside a difference that is not decisive."
    )
    yield "Quality is that of the first answer to each example, decoded greedily."
    yield "Speed-up: the median of the baseline's time over the system's, each the median of its repeats."
    bandwidths = {y.bandwidth for one in found.systems if (y := one.summary.roofline)}
    if bandwidths:
        each = " and ".join(f"{bandwidth / 1e9:,.1f} GB/s" for bandwidth in sorted(bandwidths))
        yield (
            f"What the device allows: every token reads the decoder's weights once, at {each}, measured "
            "just before the run; more than 100 % of it means that they fit the processor's caches."
        )
    guessed = any(
        latency and len(latency.carried) < len(PERCENTILES)
        for one in found.systems
        for latency in one.summary.latencies.values()
    )
    if guessed:
        needs = ", ".join(
            f"p{p} needs {next(n for n in range(1, 1000) if carries(n, p))}" for p in PERCENTILES
        )
        yield f"(In parentheses): a percentile that n cannot carry; {needs}."
    if found.price_per_hour is not None:
        yield f"Cost: at {found.price_per_hour:g} an hour and the tokens/s above, the machine always busy."
    for metric, signature in found.signatures.items():
        yield f"{METRICS[metric].label if metric in METRICS else metric}: {signature}"


def _table(title: str, cells: Cells, systems: Sequence[tuple[str, ComparedSystem]]) -> Iterator[str]:
    rows = [(name, cells(one)) for name, one in systems]
    lines = _drawn(rows, narrow=False)
    if max(map(len, lines)) > (_width() or PIPED):
        lines = _drawn(rows, narrow=True)
    yield from ("", title, *lines)


def _drawn(rows: Sequence[tuple[str, Mapping[str, str]]], narrow: bool) -> list[str]:
    """narrow: with intervals and p-values below their values, and headings of several lines."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    longest_first = sorted((row for _, row in rows), key=len, reverse=True)
    headings = list(dict.fromkeys(heading for row in longest_first for heading in row))
    for heading in headings:
        table.add_column(_folded(heading) if narrow else heading, justify="right", no_wrap=True)
    for name, row in rows:
        cells = [row.get(heading, "") for heading in headings]
        table.add_row(name, *(re.sub(r" (?=\[)|  (?=p)", "\n", cell) if narrow else cell for cell in cells))
    console = Console(width=PIPED, color_system=None, markup=False, highlight=False)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines() if line.strip()]


def _folded(heading: str) -> str:
    words, bracket, rest = heading.partition(" (")
    return textwrap.fill(words, 10, break_long_words=False) + bracket.replace(" ", "\n") + rest


def _list(title: str, sentences: Sequence[str]) -> Iterator[str]:
    if sentences:
        yield from ("", title)
    for sentence in sentences:
        yield from _wrapped(sentence, "- ")


def _wrapped(text: str, before: str = "") -> Iterator[str]:
    """One line when piped, the terminal's width otherwise."""
    before = before.strip() + " " * bool(before)
    indent = " " * len(before)
    yield from textwrap.wrap(
        text, _width() or 10 * PIPED, initial_indent=before, subsequent_indent=indent,
        break_on_hyphens=False, break_long_words=False,
    )  # fmt: skip


def _width() -> int | None:
    """Columns of the terminal; None when the output is no terminal."""
    return get_terminal_size().columns if sys.stdout.isatty() else None


def _estimate(found: Estimate | None, digits: int) -> str:
    return f"{found.value:.{digits}f}{interval(found, digits)}" if found else NOTHING


def _amount(value: float | None) -> str:
    return NOTHING if value is None else milliseconds(value)


def _p(value: float) -> str:
    return "p<0.001" if value < 0.001 else f"p={value:.3f}"


def _heading(metric: Metric) -> str:
    return metric.label + (" (low is good)" if metric.higher_is_better is False else "")
