"""Options that several commands share: what runs the models, seconds, a plan's options as click has them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from hybrid.benchmark.plan_options import ENGINE_OPTIONS, PlanOption, parse_engine_options
from hybrid.cli.console import notice
from hybrid.cli.numbers import Finite

F = TypeVar("F", bound=Callable[..., Any])


def with_options(options: Iterable[PlanOption]) -> Callable[[F], F]:
    """Add them to a command, in their order."""

    def add(command: F) -> F:
        for option in reversed(tuple(options)):
            command = _as_click(option)(command)
        return command

    return add


engine_options = with_options(ENGINE_OPTIONS)


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


def _as_click(option: PlanOption) -> Callable[[F], F]:
    if option.flag:
        return click.option(f"--{option.name}/--no-{option.name}", default=option.default, help=option.help)
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


def _callback(option: PlanOption) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Make a callback that reads the option's text; a ValueError becomes a usage error."""
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
