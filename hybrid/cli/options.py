"""Options that several commands share: finite numbers, what runs the models, a plan's options.

What a plan's options stand on is imported by commands that have them: `hybrid runs` starts at once.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from hybrid.cli.console import notice

if TYPE_CHECKING:
    from hybrid.benchmark.plan_options import PlanOption


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


F = TypeVar("F", bound=Callable[..., Any])


def with_options(options: Iterable["PlanOption"]) -> Callable[[F], F]:
    """Add them to a command, in their order."""

    def add(command: F) -> F:
        for option in reversed(tuple(options)):
            command = _as_click(option)(command)
        return command

    return add


def engine_options(command: F) -> F:
    """Add the options of what runs the models."""
    from hybrid.benchmark.plan_options import ENGINE_OPTIONS

    return with_options(ENGINE_OPTIONS)(command)


wait_option = click.option(
    "--wait", type=Finite(0), default=0, metavar="SECONDS", help="For another measurement to end."
)


def given_options(ctx: click.Context, besides: Iterable[str] = ()) -> list[str]:
    """List the parameters that the command line itself names, without `besides`, as a user writes them."""
    return [
        parameter.human_readable_name if isinstance(parameter, click.Argument) else parameter.opts[0]
        for parameter in ctx.command.params
        if parameter.name not in besides and is_given(ctx, str(parameter.name))
    ]


def is_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) not in (ParameterSource.DEFAULT, None)


def _as_click(option: "PlanOption") -> Callable[[F], F]:
    if option.flag:
        names = f"--{option.name}/--no-{option.name}" if option.default else f"--{option.name}"
        return click.option(names, is_flag=True, default=option.default, help=option.help)
    kind: click.ParamType[Any] | None = None
    if option.choices:
        kind = click.Choice(option.choices)
    elif option.low is not None:
        kind = click.IntRange(option.low, option.high)
    elif option.number:
        kind = click.INT
    more: Mapping[str, Any] = {"default": option.default} if option.default is not None else {}
    return click.option(
        f"--{option.name}",
        type=kind,
        multiple=option.many,
        metavar=option.metavar,
        show_default=option.default is not None,
        help=option.help,
        callback=_callback(option),
        **more,
    )


def _callback(option: "PlanOption") -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Make a callback that reads the option's text; a ValueError becomes a usage error."""
    from hybrid.benchmark.plan_options import parse_engine_options

    parse = parse_engine_options if option.many else option.parse

    def read(_: click.Context, __: click.Parameter, value: Any) -> Any:
        if option.notice is not None and (sentence := option.notice(value)):
            notice(sentence)
        if parse is None or value is None:
            return "" if value is None and not option.number and parse is None else value
        try:
            return parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return read
