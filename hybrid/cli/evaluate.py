"""`hybrid evaluate`: quality over files of examples."""

import json
from pathlib import Path
from typing import Any

import click

from hybrid.cli.console import Terminal, out
from hybrid.measuring.collector import collector_off
from hybrid.schema import MODELS, TASKS, Model, Status


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--task", type=click.Choice(list(TASKS)), default="translate-en-de", show_default=True)
@click.option("--system", "systems", type=click.Choice(MODELS), multiple=True, help="[default: all]")
@click.option("--pair", metavar="NAME", help="See `hybrid pairs`. [default: the first]")
@click.option("--limit", type=click.IntRange(1), default=500, show_default=True, help="Lines of each file.")
@click.option("--control", is_flag=True, help="Also the hybrid fed with another prompt's latent.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def evaluate(
    files: tuple[Path, ...], task: str, systems: tuple[Model, ...], pair: str | None, **options: Any
) -> None:
    """Score the systems of a pair on FILEs of examples, in batches: BLEU or ROUGE-L.

    A FILE is TSV (domain, source, target) or JSONL (source, document, summary).
    `hybrid bench` measures speed and quality together.
    """
    with Terminal() as terminal:
        terminal(Status(sentence="Starting"))
        with collector_off():
            import torch

            from hybrid.metrics import METRICS
            from hybrid.models.bundle import load_bundle
            from hybrid.training.evaluate import quality

        torch.set_num_threads(1)
        bundle = load_bundle(pair, observer=terminal)
        chosen = systems or MODELS
        for path in files:
            terminal(Status(sentence=path.name))
            for one in quality(bundle, [path], task, chosen, options["control"], options["limit"]):
                report = {
                    "file": one.file,
                    "system": one.system,
                    METRICS[one.score.metric].label: round(one.score.value, 2),
                    "n": one.score.n,
                    "cut_prompts": one.cut_prompts,
                    "signature": one.score.signature,
                }
                plain = "\t".join(f"{key} {value}" for key, value in report.items())
                out(json.dumps(report, ensure_ascii=False) if options["as_json"] else plain)
