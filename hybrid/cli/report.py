"""`hybrid report`: stored runs compared on one HTML page that can be mailed."""

from pathlib import Path

import click

from hybrid.cli.console import status
from hybrid.measuring.collector import collector_off
from hybrid.store.tables import replacing


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="RUN...")
@click.option("-o", "--output", required=True, metavar="FILE", help="HTML to write.")
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
    with status("Reading") as say, collector_off():
        runs = [load_run(name) for name in dict.fromkeys(map(find_run, names))]
        say("Comparing")
        found = compare_runs(runs, baseline)
        page = html_report(found, [stored.run for stored in runs])
    with replacing(Path(output)) as file:
        file.write(page.encode("utf-8", "backslashreplace"))
    click.echo(f"Report written to {output}.", err=True)
