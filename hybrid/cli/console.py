"""What every command shares: data on stdout, notices and a spinner on stderr, a fast start."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


def out(line: str) -> None:
    click.echo(line.encode("utf-8"))  # whatever the locale


def notice(text: str) -> None:
    """One line on stderr, for what the user should know but that stops nothing."""
    click.echo(f"notice: {harmless(text)}", err=True)


def harmless(text: str) -> str:
    """`text` as one line that cannot steer a terminal, whatever a file or a name in it holds.

    White space becomes a space, and what cannot be printed (control
    characters, bidirectional overrides, half surrogate pairs) a question mark.
    """
    return "".join(" " if c.isspace() else c if c.isprintable() else "?" for c in text)


@contextmanager
def status(first: str) -> Iterator[Callable[[str], None]]:
    """A spinner on stderr while something is under way; silent when stderr is no terminal."""
    from rich.console import Console
    from rich.text import Text

    def plain(sentence: str) -> Text:
        return Text(harmless(sentence))  # a str would be read as markup, and [/b] of a file's name fail

    with Console(stderr=True).status(plain(first)) as status:
        yield lambda sentence: status.update(plain(sentence))
