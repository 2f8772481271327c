"""What every command shares: data on stdout, a spinner on stderr, a fast start."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


def out(line: str) -> None:
    click.echo(line.encode("utf-8"))  # whatever the locale


@contextmanager
def status(first: str) -> Iterator[Callable[[str], None]]:
    """A spinner on stderr while something is under way; silent when stderr is no terminal."""
    from rich.console import Console

    with Console(stderr=True).status(first) as status:
        yield status.update


@contextmanager
def collector_off() -> Iterator[None]:
    """No garbage collection: it is a fifth of the time that importing torch and transformers takes."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
