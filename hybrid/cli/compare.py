"""`hybrid compare`: stored runs side by side, with intervals, warnings and a verdict."""

import json

import click

from hybrid.cli.console import out
from hybrid.measuring.collector import collector_off


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--baseline", default="llm", show_default=True, metavar="SYSTEM",
    help="What the others are compared with, in their own run; RUN:SYSTEM names one for all.",
)  # fmt: skip
@click.option(
    "--price-per-hour", type=click.FloatRange(0), help="Of the machine, for the cost of output tokens."
)
@click.option("--resamples", type=click.IntRange(1, 100_000), default=1000, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the resamples.")
@click.option("--json", "as_object", is_flag=True, help="Print everything as one JSON object.")
def compare(
    names: tuple[str, ...],
    baseline: str,
    price_per_hour: float | None,
    resamples: int,
    seed: int,
    as_object: bool,
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
        runs = [load_run(name) for name in dict.fromkeys(map(find_run, names))]
        found = compare_runs(runs, baseline, price_per_hour, resamples, seed)
    if as_object:
        out(json.dumps(as_json(found), ensure_ascii=False, allow_nan=False, indent=1))
        return
    from hybrid.cli.compare_report import report

    for line in report(found):
        out(line)
