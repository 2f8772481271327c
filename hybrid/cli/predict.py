"""`hybrid predict`: how long a pair of any two sizes would take, from a profile of a device."""

import json
from typing import Any

import click

from hybrid.cli.console import harmless, out

LONGEST, LARGEST_BATCH = 65_536, 4_096


@click.command()
@click.option("--llm", required=True, metavar="NAME", help="Of the model that reads, such as t5-large.")
@click.option("--slm", required=True, metavar="NAME", help="Of the model that writes, such as t5-small.")
@click.option(
    "--prompt", type=click.IntRange(1, LONGEST), default=128, show_default=True, help="Tokens of a prompt."
)
@click.option(
    "--output", type=click.IntRange(1, LONGEST), default=64, show_default=True, help="Tokens of an answer."
)
@click.option(
    "--batch", type=click.IntRange(1, LARGEST_BATCH), default=1, show_default=True, help="Prompts at once."
)
@click.option("--profile", metavar="NAME", help="As `hybrid device` stored it. [default: the newest]")
@click.option(
    "--price-per-hour", type=click.FloatRange(0), help="Of the machine, for the cost of output tokens."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def predict(llm: str, slm: str, profile: str | None, as_json: bool, **options: Any) -> None:
    """Predict how long an LLM, an SLM and their hybrid would take, without running them.

    NAMES of models are those of `hybrid latency --shapes`, or paths to a
    config.json. What `hybrid device` measured on a machine is laid out over the
    sizes of the models. Every number is predicted; how far such predictions
    were off on a stored grid of the same machine is said below them.
    """
    from hybrid.cli.predict_report import Outlook, as_object, report
    from hybrid.models.shapes import find_shape
    from hybrid.sizing import Pair, Request, load_profile

    pair = Pair(find_shape(llm), find_shape(slm))
    request = Request(options["prompt"], options["output"], options["batch"])
    found = Outlook.of(pair, request, load_profile(profile), options["price_per_hour"])
    if as_json:
        out(json.dumps(as_object(found), ensure_ascii=False, allow_nan=False, indent=1))
        return
    for line in report(found):
        out(harmless(line))
