"""Options in seconds, and the one with which every command that measures waits for its turn."""

import math

import click


def seconds(_: click.Context, __: click.Parameter, given: float | None) -> float | None:
    """The callback of an option in seconds."""
    if given is not None and math.isnan(given):  # which no range excludes
        raise click.BadParameter("nan is not a number of seconds.")
    return given


wait_option = click.option(
    "--wait",
    type=click.FloatRange(0),
    callback=seconds,
    default=0,
    metavar="SECONDS",
    help="For another measurement to end.",
)
