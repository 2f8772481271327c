"""What `hybrid compare` prints: what it comes to, tables, what to beware of, how it was computed."""

import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from shutil import get_terminal_size

from hybrid.cli.console import harmless
from hybrid.compare import ComparedSystem, Comparison
from hybrid.compare.power import POWER
from hybrid.compare.summary import PERCENTILES, carries
from hybrid.compare.verdict import IN_BLOCKS, SHARES, gate_sentence
from hybrid.format import bandwidth, listed, percent, price_per_hour
from hybrid.metrics import METRICS, Check
from hybrid.presentation.runs.sections import (
    SPEED_SECTIONS,
    Named,
    Section,
    check_sentences,
    quality_sections,
    section_table,
)
from hybrid.store.tables import Table

PIPED = 1000  # columns: wide enough for any table


def report(comparison: Comparison) -> Iterator[str]:
    """Lines of text; what a run from elsewhere holds cannot move the terminal's cursor."""
    return map(harmless, _report(comparison))


def _report(comparison: Comparison) -> Iterator[str]:
    runs = {system.summary.run_id: system for system in comparison.systems}
    places = {run_id: f" [{number}]" for number, run_id in enumerate(runs, start=1)}
    several = len(runs) > 1
    tags = places if several else dict.fromkeys(places, "")
    rows, beside = (
        [(_name(system, tags[system.summary.run_id]), system) for system in systems]
        for systems in (comparison.systems, comparison.trivial)
    )
    for system in (*comparison.systems, *comparison.trivial):
        yield from _wrapped(system.verdict)
    if several:
        yield ""
        for run_id, system in runs.items():
            where = f"{system.suite}, {system.pair}, {system.engine} on {system.device}"
            yield from _wrapped(f"{places[run_id].strip()} {run_id}: {where}")
    for task in comparison.tasks:
        of_task = [row for row in (*rows, *beside) if row[1].task.name == task.name]
        for section in quality_sections(comparison, task):
            yield from _table(section, of_task)
    for section in SPEED_SECTIONS:
        yield from _table(section, rows)
    checks = {metric.name: metric for task in comparison.tasks for metric in comparison.metrics_of(task)}
    yield from _list("What the checks catch", check_sentences(list(checks.values())))
    gates = [
        gate_sentence(_name(system, tags[system.summary.run_id], label=True), system.task, system.against)
        for system in comparison.systems
        if system.against
    ]
    yield from _list("The 99 % target: may it stand in for the baseline?", gates)
    yield from _list("Beware", comparison.warnings)
    yield from _list("How this was computed", list(_notes(comparison)))


def _name(system: ComparedSystem, place: str, label: bool = False) -> str:
    """Name a system as options do, or for a sentence by its label."""
    name = system.summary.system
    return f"{name.label if label else name}{place}{system.summary.mark}"


def _notes(comparison: Comparison) -> Iterator[str]:
    yield (
        f"[low, high]: {100 * comparison.level:.0f} % interval, percentile bootstrap over examples, "
        f"{comparison.resamples:,} resamples, seed {comparison.seed}; "
        "differences, p and speed-ups are paired. Significant: 0 lies outside."
    )
    yield "p is two-sided: below 0.05 where, and only where, the 95 % interval leaves out 0."
    yield (
        "99 % target: at least 99 % of the baseline's quality and 90 % of its length, as MLPerf Inference "
        "asks. It is met, or missed, where the whole interval lies on one side. The n that would decide it "
        f"does so in {percent(POWER)} of all benchmarks, as long as the ratio stays as it is."
    )
    yield from comparison.remarks
    if any(isinstance(METRICS.get(name), Check) for name in comparison.signatures):
        yield SHARES
    yield "Quality is that of the first answer to each example, decoded greedily."
    yield "Speed-up: the median of the baseline's time over the system's, each the median of its repeats."
    if comparison.in_blocks:
        yield IN_BLOCKS
    bandwidths = {roof.bandwidth for system in comparison.systems if (roof := system.summary.roofline)}
    if bandwidths:
        each = listed([bandwidth(rate) for rate in sorted(bandwidths)])
        yield (
            f"What the device allows: every token reads the decoder's weights once, at {each}, measured "
            "just before the run; more than 100 % of it means that they fit the processor's caches."
        )
    guessed = any(
        latency and len(latency.carried) < len(PERCENTILES)
        for system in comparison.systems
        for latency in system.summary.latencies.values()
    )
    if guessed:
        needs = ", ".join(
            f"p{p} needs {next(n for n in range(1, 1000) if carries(n, p))}" for p in PERCENTILES
        )
        yield f"(In parentheses): a percentile that n cannot carry; {needs}."
    if comparison.price_per_hour is not None:
        price = price_per_hour(comparison.price_per_hour)
        yield f"Cost: at {price}, and the tokens/s above, the machine always busy."
    for metric, signature in comparison.signatures.items():
        yield f"{METRICS[metric].label if metric in METRICS else metric}: {signature}"


def _table(section: Section, systems: Named) -> Iterator[str]:
    if (table := section_table(section, systems)) is None:
        return
    lines = _drawn(table, narrow=False)
    if max(map(len, lines)) > (_width() or PIPED):
        lines = _drawn(table, narrow=True)
    yield from ("", section.title, *lines)


def _drawn(cells: Table, narrow: bool) -> list[str]:
    """narrow: with intervals and p-values below their values, and headings of several lines."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as Drawing

    table = Drawing(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for heading in list(cells.columns)[1:]:
        table.add_column(_folded(heading) if narrow else heading, justify="right", no_wrap=True)
    for name, *row in cells.rows:
        texts = [str(text) for text in row]
        table.add_row(str(name), *(re.sub(r" (?=\[)|  ", "\n", text) if narrow else text for text in texts))
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
