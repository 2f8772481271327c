"""The options with which every command that runs models says what runs them."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from hybrid.engines.registry import AUTO, DTYPES, ENGINES, OPTIONS
from hybrid.schema import Device

F = TypeVar("F", bound=Callable[..., Any])


def known_engine(name: str) -> str:
    """`name`, when there is such an engine; else a usage error."""
    if name not in ENGINES:
        raise click.BadParameter(f"there is no engine {name!r}; available: {', '.join(ENGINES)}")
    return name


def engine_options(command: F) -> F:
    """Adds --engine, --engine-option, --device, --dtype and --threads."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def engine_option_pairs(given: Sequence[str]) -> dict[str, str]:
    """`NAME=VALUE` each, by name; which engine knows them is checked when it is made."""
    pairs = [text.partition("=") for text in given]
    wrong = [text for text, (name, _, value) in zip(given, pairs, strict=True) if not (name and value)]
    if wrong:
        raise click.BadParameter(f"{wrong[0]!r} is not like NAME=VALUE", param_hint="--engine-option")
    return {name: value for name, _, value in pairs}


def _device(_: click.Context, __: click.Parameter, text: str) -> Device:
    try:
        return Device.parse(text)
    except ValueError as error:
        raise click.BadParameter(f"there is no device {text!r}; available: cpu, cuda, cuda:N") from error


def _dtype(_: click.Context, __: click.Parameter, name: str | None) -> str:
    return name or ""


def _about_options() -> str:
    each = (f"{name}={'|'.join(option.choices)}: {option.about}" for name, option in OPTIONS.items())
    return " ".join(each)


_OPTIONS = (
    click.option(
        "--engine",
        type=click.Choice([AUTO, *ENGINES]),
        default=AUTO,
        show_default=True,
        help="What runs the models, see `hybrid engines`; auto: the fastest that runs here.",
    ),
    click.option("--engine-option", multiple=True, metavar="NAME=VALUE", help=_about_options()),
    click.option("--device", callback=_device, default="cpu", show_default=True, help="cpu, cuda or cuda:N."),
    click.option("--dtype", type=click.Choice(DTYPES), callback=_dtype, help="[default: the engine's own]"),
    click.option(
        "--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="CPU threads."
    ),
)
