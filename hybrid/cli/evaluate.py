"""`hybrid evaluate`: quality or speed over files of examples."""

import json
from pathlib import Path
from typing import Any

import click

from hybrid.cli.console import collector_off, out, status
from hybrid.schema import SYSTEMS, TASKS, System


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--task", type=click.Choice(list(TASKS)), default="translate-en-de", show_default=True)
@click.option("--system", "systems", type=click.Choice(SYSTEMS), multiple=True, help="[default: all]")
@click.option("--pair", metavar="NAME", help="See `hybrid pairs`. [default: the first]")
@click.option("--limit", type=click.IntRange(1), default=500, show_default=True, help="Lines of each file.")
@click.option("--control", is_flag=True, help="Also the hybrid fed with another prompt's latent.")
@click.option("--speed", is_flag=True, help="Measure speed, interleaved on one CPU thread, not quality.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def evaluate(
    files: tuple[Path, ...], task: str, systems: tuple[System, ...], pair: str | None, **options: Any
) -> None:
    """Score the systems of a pair on FILEs of examples: BLEU or ROUGE-L, or speed.

    A FILE is TSV (tag, source, target) or JSONL (source, document, summary).
    """
    with status("Starting") as say:
        with collector_off():
            import torch

            from hybrid.cli.reports import quality_reports, speed_reports
            from hybrid.model.bundle import load_bundle

        torch.set_num_threads(1)
        bundle = load_bundle(pair, progress=say)
        chosen = systems or SYSTEMS
        for path in files:
            say(path.name)
            if options["speed"]:
                reports = speed_reports(bundle, path, task, chosen, options["limit"])
            else:
                reports = quality_reports(bundle, path, task, chosen, options["control"], options["limit"])
            for report in reports:
                plain = "\t".join(f"{key} {value}" for key, value in report.items())
                out(json.dumps(report, ensure_ascii=False) if options["as_json"] else plain)
