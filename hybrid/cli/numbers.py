"""Numbers on a command line. Apart from other options, so that `hybrid runs` and the like start at once."""

import math
from typing import Any

import click


class Finite(click.FloatRange):
    """A number from a range that excludes nan and infinity, too, which no range of click's does."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


price_option = click.option(
    "--price-per-hour", type=Finite(0), metavar="PRICE", help="Of the machine, for the cost of output tokens."
)
