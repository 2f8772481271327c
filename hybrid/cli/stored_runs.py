"""Commands on stored runs: `hybrid runs`, `compare`, `score`, `export`, `report` and `delete`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from hybrid.cli.console import harmless, notice, out, out_json, output_file, say, status
from hybrid.cli.options import price_option
from hybrid.errors import InputError
from hybrid.measuring import collector_off
from hybrid.schema import LEADS, TRIVIAL

if TYPE_CHECKING:
    from hybrid.store import RunSummary

HEADER = ("run", "suite", "pair", "engine", "systems", "n", "state", "created (UTC)")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the runs as one JSON list.")
def runs(as_json: bool) -> None:
    """List the stored runs, the newest first.

    n is examples x repeats. The runs lie in results/, or where HYBRID_RESULTS says.
    """
    from hybrid.measuring.probes import busy_reasons
    from hybrid.store import list_runs, results_folder
    from hybrid.store.checks import unsealed_sentence

    listing = list_runs()
    for problem in listing.problems:
        notice(problem)
    if unsealed := [summary.run.run_id for summary in listing.runs if not summary.sealed]:
        notice(unsealed_sentence(unsealed))
    if as_json:
        rows = [
            {
                **asdict(summary.run),
                "records": summary.records,
                "complete": summary.complete,
                "busy": busy_reasons(summary.run),
            }
            for summary in listing.runs
        ]
        out_json(rows)
    elif listing.runs:
        for line in _aligned([HEADER, *map(_row, listing.runs)]):
            out(line)
    else:
        notice(f"There are no runs in {results_folder()}. `hybrid bench SUITE` makes one.")


def _row(summary: "RunSummary") -> tuple[str, ...]:
    from hybrid.measuring.probes import BUSY_MARK, busy_reasons

    run, plan = summary.run, summary.run.plan
    examples = run.planned // (plan.repeats * len(plan.systems))
    return (
        run.run_id,
        plan.suite,
        plan.pair,
        f"{plan.engine}/{plan.device}",
        ",".join(plan.systems),
        f"{examples} x {plan.repeats}",
        ("complete" if summary.complete else f"incomplete {summary.records}/{run.planned}")
        + (", private" if plan.private else "")
        + (BUSY_MARK if busy_reasons(run) else ""),
        _minute(run.created_at),
    )


def _minute(created_at: str) -> str:
    try:
        moment = datetime.fromisoformat(created_at)
        return f"{moment.astimezone(UTC) if moment.tzinfo else moment:%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError):  # no time, or one whose UTC lies outside the calendar
        return created_at


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows as columns two spaces apart. A run from elsewhere cannot move the terminal's cursor."""
    cells = [[harmless(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


_no_busy = click.option("--no-busy", is_flag=True, help="Leave out runs measured on a busy machine.")


def _chosen(run_ids: Iterable[str], no_busy: bool) -> list[str]:
    """Each run once; without those that were measured on a busy machine, where that is asked for."""
    from hybrid.measuring.probes import busy_reasons
    from hybrid.store import run_of

    chosen = list(dict.fromkeys(run_ids))
    busy = {run_id: reasons for run_id in chosen if no_busy and (reasons := busy_reasons(run_of(run_id)))}
    for run_id, reasons in busy.items():
        notice(f"Run {run_id} is left out, as its machine was busy: {'; '.join(reasons)}.")
    if len(busy) == len(chosen):
        raise InputError("All of these runs were measured on a busy machine; leave out --no-busy.")
    return [run_id for run_id in chosen if run_id not in busy]


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--baseline", default="llm", show_default=True, metavar="SYSTEM",
    help="What the others are compared with, in their own run; RUN:SYSTEM names one for all.",
)  # fmt: skip
@price_option
@click.option("--resamples", type=click.IntRange(1, 100_000), default=1000, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the resamples.")
@click.option(
    "--trivial", default=",".join(LEADS), show_default=True, metavar="LIST",
    help=f"Systems without a model beside those of summaries, of {', '.join(TRIVIAL)}; '' for none.",
)  # fmt: skip
@click.option("--json", "as_object", is_flag=True, help="Print everything as one JSON object.")
@_no_busy
def compare(
    names: tuple[str, ...],
    baseline: str,
    price_per_hour: float | None,
    resamples: int,
    seed: int,
    trivial: str,
    as_object: bool,
    no_busy: bool,
) -> None:
    """Compare the systems of stored RUNs: quality, speed, latency, memory and cost.

    RUN: an id, the beginning of one, or `latest`. `hybrid runs` lists them.
    """
    from hybrid.compare import as_json, compare_runs
    from hybrid.store import find_run, load_run

    where, colon, system = baseline.rpartition(":")
    if colon:
        baseline = f"{find_run(where)}:{system}"
    with collector_off():  # records are many small objects, and none is garbage
        runs = [load_run(name) for name in _chosen(map(find_run, names), no_busy)]
        comparison = compare_runs(
            runs,
            baseline,
            price_per_hour,
            resamples,
            seed,
            [*filter(None, map(str.strip, trivial.split(",")))],
        )
    if as_object:
        out_json(as_json(comparison))
        return
    from hybrid.cli import compare_report

    for line in compare_report.report(comparison):
        out(line)


@click.command()
@click.argument("names", nargs=-1, metavar="[RUN]...")
@click.option(
    "--metric", "metrics", multiple=True, metavar="NAME",
    help="Only this metric, computed again where it is done otherwise now; may be given several times.",
)  # fmt: skip
def score(names: tuple[str, ...], metrics: tuple[str, ...]) -> None:
    """Score the answers of stored RUNs by what they lack, and store that beside them.

    RUN: an id, the beginning of one, or `latest`; all runs when none is given.
    A benchmark scores itself at its end; this adds metrics that it was not scored
    by, and ends what was interrupted. Answers and times stay as they are. Checks
    without a model are among them, such as invented_numbers and copies.
    """
    from hybrid.benchmark.scoring import score_run
    from hybrid.errors import HybridError
    from hybrid.metrics import METRICS
    from hybrid.schema import Event, Notice, Status
    from hybrid.store import find_run

    run_ids = list(dict.fromkeys(find_run(name) for name in names)) or _all_runs(metrics)
    with status("Scoring") as tell:
        for run_id in run_ids:

            def observe(event: Event, run_id: str = run_id) -> None:
                if isinstance(event, Status):
                    tell(f"{run_id}: {event.sentence}")
                elif isinstance(event, Notice):
                    notice(event.sentence)

            try:
                computed = score_run(run_id, metrics or None, observe)
            except HybridError as error:
                if names:
                    raise
                notice(f"Run {run_id}: {error}")
                continue
            out(f"{run_id}: {', '.join(METRICS[name].label for name in computed) or 'nothing was lacking'}")


def _all_runs(metrics: Sequence[str]) -> list[str]:
    """Ids of the runs that these metrics, or any, can judge. Raises InputError for an unknown metric."""
    from hybrid.metrics import METRICS
    from hybrid.store import list_runs

    for name in metrics:
        if name not in METRICS:
            raise InputError(f"There is no metric {name!r}; available: {', '.join(METRICS)}.")
    listing = list_runs()
    for problem in listing.problems:
        notice(problem)
    return [
        summary.run.run_id
        for summary in listing.runs
        if not summary.run.plan.sampling.ignore_eos
        and all(METRICS[name].judges(summary.run.task) for name in metrics)
    ]


@click.command()
@click.argument("names", nargs=-1, metavar="[RUN]...")
@click.option("-o", "--output", required=True, metavar="FILE", help="CSV to write; - is standard output.")
@click.option("--records", is_flag=True, help="A row for each answer instead of each system.")
@click.option("--bom", is_flag=True, help="Begin with a byte order mark, for older spreadsheets.")
@_no_busy
def export(names: tuple[str, ...], output: str, records: bool, bom: bool, no_busy: bool) -> None:
    """Write stored runs as CSV: a row for each system of each RUN.

    RUN: an id, the beginning of one, or `latest`; all complete runs when none
    is given. results/README.md says what the columns are.
    """
    from hybrid.presentation.runs.exports import complete_runs, export_csv
    from hybrid.store import find_run

    chosen = _chosen(map(find_run, names) if names else complete_runs(notice), no_busy)
    with status("Reading") as tell, output_file(output) as file:
        count = export_csv(file, chosen, records, bom, lenient=not names, notice=notice, say=tell)
    _written(f"{count} rows", output)


def _written(what: str, output: str) -> None:
    if output != "-":
        say(f"{what} written to {harmless(output)}.")


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="RUN...")
@click.option("-o", "--output", required=True, metavar="FILE", help="HTML to write; - is standard output.")
@click.option(
    "--baseline", default="llm", show_default=True, metavar="SYSTEM",
    help="What the others are compared with, in their own run; RUN:SYSTEM names one for all.",
)  # fmt: skip
def report(names: tuple[str, ...], output: str, baseline: str) -> None:
    """Write the comparison of stored RUNs as one self-contained HTML file.

    RUN: an id, the beginning of one, or `latest`. `hybrid runs` lists them.
    """
    from hybrid.compare import compare_runs
    from hybrid.presentation.report import html_report
    from hybrid.store import find_run, load_run

    where, colon, system = baseline.rpartition(":")
    if colon:
        baseline = f"{find_run(where)}:{system}"
    with status("Reading") as tell, collector_off():
        runs = [load_run(name) for name in dict.fromkeys(map(find_run, names))]
        tell("Comparing")
        comparison = compare_runs(runs, baseline)
        page = html_report(comparison, [stored.run for stored in runs])
    with output_file(output) as file:
        file.write(page.encode("utf-8", "backslashreplace"))
    _written("Report", output)


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def delete(names: tuple[str, ...]) -> None:
    """Remove what is stored for good, damaged or not.

    NAME: the whole id of a run, grids/GRID or devices/PROFILE, as they lie in
    the folder of results.
    """
    from hybrid.store.run_lock import delete_stored

    for name in dict.fromkeys(names):
        delete_stored(name)
        notice(f"{name} was deleted.")
