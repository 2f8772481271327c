"""`hybrid train`: the stages of a recipe."""

import os
from pathlib import Path

import click

from hybrid.cli.progress import draw


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--stage", "stages", metavar="NAME", multiple=True, help="Only this stage; may be repeated.")
@click.option(
    "--stop-after",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Write a checkpoint and stop; the same command goes on from it.",
)
def train(recipe: Path, stages: tuple[str, ...], stop_after: float | None) -> None:
    """Train the stages of RECIPE, a TOML file, going on from the last checkpoint."""
    from hybrid.training.recipe import load_recipe

    loaded = load_recipe(recipe)
    from hybrid.training.train import train as run

    events = run(loaded, stages or None, stop_after)
    if os.environ.get("RANK", "0") == "0":
        draw(events)
    else:  # one of several processes: the first one draws
        for _ in events:
            pass
