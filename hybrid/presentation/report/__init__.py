"""A comparison as one HTML file that can be mailed: it asks nobody for anything, and needs nothing else.

from hybrid.compare import compare_runs
from hybrid.store import load_run
stored = load_run("latest")
html_report(compare_runs([stored]), [stored.run])
"""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from hybrid.benchmark.plan_options import bench_command
from hybrid.benchmark.plans import is_suite_name
from hybrid.compare import Comparison
from hybrid.compare.verdict import IN_BLOCKS, SHARES, gate_sentence
from hybrid.format import printable, size
from hybrid.measuring.hardware import described
from hybrid.measuring.probes import busy_reasons
from hybrid.metrics import METRICS, Check
from hybrid.presentation.charts import color_of
from hybrid.presentation.runs.comparison_view import (
    ComparisonRow,
    comparison_rows,
    numbered,
    plain_summary,
    quality_drawing,
    score_tables,
    speed_drawing,
    table,
)
from hybrid.presentation.runs.sections import check_sentences
from hybrid.schema import Run
from hybrid.schema.runs import UNNAMED

__all__ = ["html_report", "redo_command"]

PRIVATE = "; private: no text is stored, and the hash is a keyed one"
_LONGEST = 5000  # characters of any text
_SCRIPT = re.compile(r"<script[^>]*>(.*?)</script>", re.DOTALL)
_LAYOUT = {"template": "plotly_white", "paper_bgcolor": "white", "font": {"family": "sans-serif", "size": 13}}
_CONFIG = {"displayModeBar": False, "displaylogo": False, "responsive": True, "scrollZoom": False}


@dataclass(frozen=True)
class Drawn:
    """A figure: what it says, and the HTML that draws it."""

    title: str
    says: str
    html: str


def html_report(comparison: Comparison, runs: Sequence[Run], made_at: datetime | None = None) -> str:
    """One page with its figures, scripts and styles inside.

    runs: those compared, in the same order. made_at: now by default. Every
    name in it is shown as text: runs may come from elsewhere. Its
    Content-Security-Policy lets it load nothing, and run only its own scripts.
    """
    systems = comparison_rows(comparison)
    figures, lines = list(_figures(systems)), numbered(runs)
    page = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, finalize=_printable,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    ).get_template("page.html")  # fmt: skip
    return page.render(
        title=_title(runs),
        made_at=(made_at or datetime.now(UTC)).astimezone(UTC).strftime("%d %B %Y, %H:%M UTC"),
        scripts=" ".join(_hash(script) for drawn in figures for script in _SCRIPT.findall(drawn.html)),
        systems=[
            (color_of(row.compared.summary.system), plain_summary(row, systems), row.compared.verdict)
            for row in (*systems, *comparison_rows(comparison, trivial=True))
        ],
        gates=list(_gates(systems)),
        warnings=comparison.warnings,
        figures=figures,
        table=table(systems),
        scores=list(score_tables(comparison)),
        lines=lines,
        runs=[(line, _conditions(run), redo_command(run)) for line, run in zip(lines, runs, strict=True)],
        notes=list(_notes(comparison)),
    )


def _printable(value: object) -> object:
    """Texts without what turns the writing direction around, or does not print; our own HTML as it is."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else printable(value, _LONGEST)


def _figures(systems: Sequence[ComparisonRow]) -> Iterator[Drawn]:
    """Quality by speed for each task, then speed-ups; plotly.js goes with the first."""
    first = True
    for task in {row.compared.task.name: row.compared.task for row in systems}.values():
        of_task = [row for row in systems if row.compared.task.name == task.name]
        if not any(row.compared.summary.quality for row in of_task):
            continue
        title = f"Quality against speed: {task.label}"
        drawing = quality_drawing(of_task)
        yield Drawn(title, drawing.says, _drawn(drawing.figure, task.name, first))
        first = False
    if any(row.compared.against for row in systems):
        drawing = speed_drawing(systems)
        yield Drawn("Speed-up", drawing.says, _drawn(drawing.figure, "speed", first))


def _drawn(figure: go.Figure, name: str, with_library: bool) -> str:
    figure.update_layout(_LAYOUT)
    place = f"figure-{name}"
    return str(figure.to_html(full_html=False, include_plotlyjs=with_library, div_id=place, config=_CONFIG))


def _hash(script: str) -> str:
    """Name a script as a Content-Security-Policy names it: https://www.w3.org/TR/CSP3/#grammardef-hash-source."""
    return f"'sha256-{base64.b64encode(sha256(script.encode()).digest()).decode()}'"


def _title(runs: Sequence[Run]) -> str:
    if len(runs) == 1:
        plan = runs[0].plan
        return f"{plan.suite}: a large model reads, a small model writes"
    return f"{len(runs)} runs compared: a large model reads, a small model writes"


def _gates(systems: Sequence[ComparisonRow]) -> Iterator[str]:
    for row in systems:
        if row.compared.against and row.compared.against.gate:
            yield gate_sentence(row.name, row.compared.task, row.compared.against)


def redo_command(run: Run) -> str:
    """Give the command that measures `run` again; texts that only Python knew come from the stored run.

    The suite of a private run is file:PATH where it is not named.
    """
    plan = run.plan
    if plan.suite.startswith(UNNAMED):
        plan = replace(plan, suite="file:PATH")
    elif not is_suite_name(plan.suite):
        plan = replace(plan, suite=f"file:results/{run.run_id}/examples.jsonl", columns={})
    return bench_command(plan)


def _conditions(run: Run) -> Mapping[str, str]:
    """Tell what must be known of a run, by name."""
    plan, here = run.plan, run.environment
    engines = [(system, run.ran_as(system)) for system in plan.systems]
    length = (
        f"{'exactly' if plan.sampling.ignore_eos else 'at most'} {plan.sampling.max_new_tokens} new tokens"
    )
    machine = (
        here.device_name,
        f"CPU {here.cpu}, {here.cpu_count} logical",
        described(here.hardware),
        size(here.memory_bytes),
    )
    conditions = {
        "Run": run.run_id,
        "Measured": f"{run.created_at} to {run.finished_at or 'not finished'}",
        "Suite": f"{plan.suite}, SHA-256 {plan.suite_hash}, licence {run.licence or 'not named'}"
        + (PRIVATE if plan.private else ""),
        "Pair": f"{plan.pair}, weights {here.weights_sha256}",
        "Plan": f"batch {plan.batch_size}, repeats {plan.repeats}, blocks {plan.blocks}, "
        f"seed {plan.seed}, threads {plan.threads}, "
        f"limit {plan.limit or 'none'}, {length}",
        "Engines": "; ".join(f"{name}: {ran.engine} in {ran.dtype} on {ran.device}" for name, ran in engines),
        "Machine": "; ".join(filter(None, (*machine, here.system))),
        "Software": f"hybrid-bench {here.product}, code {here.code or 'unknown'}, Python {here.python}; "
        + ", ".join(f"{name} {version}" for name, version in here.packages.items()),
        "Busy machine": "; ".join(busy_reasons(run) or ()),
        "Signatures": "; ".join(f"{name}: {signature}" for name, signature in run.signatures.items()),
    }  # fmt: skip
    for resumption in run.resumptions:
        later = resumption.environment
        conditions[f"After {resumption.records_before:,} answers"] = (
            f"{later.device_name}; {later.system}; code {later.code}"
        )
    return {name: value for name, value in conditions.items() if value}


def _notes(comparison: Comparison) -> Iterator[str]:
    yield (
        f"[low, high] is a {100 * comparison.level:.0f} % interval, percentile bootstrap over examples "
        f"({comparison.resamples:,} resamples, seed {comparison.seed}); differences and speed-ups are "
        "paired. A difference is significant if its interval leaves out 0; p is two-sided and says the same."
    )
    yield from comparison.remarks
    if any(isinstance(METRICS.get(name), Check) for name in comparison.signatures):
        yield SHARES
    metrics = {metric.name: metric for task in comparison.tasks for metric in comparison.metrics_of(task)}
    yield from check_sentences(list(metrics.values()))
    yield "Quality is that of the first answer to each example, decoded greedily: the same that was timed."
    yield "Speed-up is the median, over examples or batches, of the baseline's time over the system's."
    if comparison.in_blocks:
        yield IN_BLOCKS
    yield "TTFT is the time to the first token, TPOT the time per token after it: medians, in milliseconds."
    for metric, signature in comparison.signatures.items():
        yield f"{METRICS[metric].label if metric in METRICS else metric}: {signature}"
