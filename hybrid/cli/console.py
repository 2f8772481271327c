"""What every command shares: data on stdout; notices, a spinner and a bar on stderr."""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING

import click

from hybrid.errors import HybridError, InputError, StoreError
from hybrid.format import ratio
from hybrid.schema import Event, Finished, Interrupted, Notice, Progress, Started, Status, Waiting

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

PLAIN_LINE_EVERY_S = 10.0
# What steers a terminal: control characters but tabs and line feeds, what turns text around (Unicode's
# Bidi_Control that embeds, overrides or isolates); and halves of surrogate pairs, which are no text.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def out(line: str, data: bool = False) -> None:
    """Print on stdout, as UTF-8 whatever the locale; what would steer a terminal is a question mark.

    data: an answer, which stays as it is where stdout is no terminal. Raises StoreError when it cannot be
    written.
    """
    with standard_output():
        text = line if data and not sys.stdout.isatty() else _STEERING.sub("?", line)
        click.echo(text.encode("utf-8", "backslashreplace"))


def out_json(value: object, indent: int | None = 1) -> None:
    """Print as JSON on stdout; what would steer a terminal is escaped, so that nothing is lost."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    out(_STEERING.sub(lambda match: json.dumps(match[0])[1:-1], text))


def say(line: str) -> None:
    """Print a line on stderr. One that cannot be written, as on a full disk, is lost: it must end nothing."""
    with suppress(OSError):
        click.echo(line, err=True)


def notice(text: str) -> None:
    """One line on stderr, for what the user should know but that stops nothing."""
    say(f"notice: {harmless(text)}")


def stderr_console() -> "Console":
    """Give a console on stderr: a terminal where it is one, or TTY_COMPATIBLE says so, not FORCE_COLOR."""
    from rich.console import Console

    is_terminal = sys.stderr.isatty() or os.environ.get("TTY_COMPATIBLE") == "1"
    return Console(stderr=True, force_terminal=None if is_terminal else False)


def open_streams() -> None:
    """Send closed standard streams nowhere: else the next file to be opened takes their number and text.

    Raises HybridError for a closed stdout, before anything is measured in vain.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # as the lowest number that is free
    nowhere = Path(os.devnull)
    sys.stdin = sys.stdin or nowhere.open(encoding="utf-8")  # None where it was closed before Python started
    sys.stderr = sys.stderr or nowhere.open("w", encoding="utf-8")
    if sys.stdout is None:
        raise HybridError("Standard output is closed; send it to a file, or to /dev/null.")


@contextmanager
def standard_output() -> Iterator[IO[bytes]]:
    """Give stdout as a file of bytes. Raises StoreError when it cannot be written.

    When whoever reads it has enough, that is BrokenPipeError, which click ends quietly with.
    """
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        if sys.__stdout__ is not None and sys.stdout is sys.__stdout__:  # else its buffer fails again at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())
        raise StoreError(f"Standard output cannot be written: {error.strerror or error}.") from error


@contextmanager
def output_file(name: str) -> Iterator[IO[bytes]]:
    """Open what -o names; - is stdout, and a file is replaced when the block ends well. Raises StoreError."""
    from hybrid.store.tables import replacing

    with standard_output() if name == "-" else replacing(Path(name)) as file:
        yield file


def standard_input(limit: int) -> bytes:
    """Read stdin whole. Raises InputError when it cannot be read, or has more than `limit` bytes."""
    from hybrid.store.files import read_bounded

    try:
        return read_bounded(sys.stdin.buffer, "Standard input", limit)
    except OSError as error:
        raise InputError(f"Standard input cannot be read: {error.strerror or error}.") from error


def harmless(text: str) -> str:
    """`text` as one line that cannot steer a terminal, whatever a file or a name in it holds.

    White space becomes a space, and what cannot be printed (control
    characters, bidirectional overrides, half surrogate pairs) a question mark.
    """
    return "".join(" " if c.isspace() else c if c.isprintable() else "?" for c in text)


@contextmanager
def status(first: str) -> Iterator[Callable[[str], None]]:
    """Show a spinner on stderr while something is under way; stay silent when stderr is no terminal."""
    with Terminal() as terminal:
        terminal(Status(sentence=first))
        yield lambda sentence: terminal(Status(sentence=sentence))


class Terminal:
    """An observer that shows on stderr how long work goes on.

    On a terminal a spinner, and a bar once a run has started; elsewhere notices, who
    is waited for, and a plain line of progress now and then. Drawn at events
    only: a thread that draws, or a terminal that is kept busy, would be part of
    what is measured. unit: of progress, on plain lines.
    interrupted, finished: how a run has ended, if one did. last: the latest progress.
    private: what is measured is to be named in no file.
    """

    def __init__(self, unit: str = "") -> None:
        self.interrupted: Interrupted | None = None
        self.finished: Finished | None = None
        self.last: Progress | None = None
        self.private = False
        self._console = stderr_console()
        self._unit = unit and f" {unit}"
        self._title = ""
        self._stack = ExitStack()
        self._spin: Callable[[str], None] | None = None
        self._draw: Callable[[int, str], None] | None = None
        self._line_s = float("-inf")
        self._told: set[str] = set()

    def __call__(self, event: Event, /) -> None:
        match event:
            case Status(sentence=sentence):
                self._status(sentence)
                if self._is_measured() and not self._console.is_terminal:  # the rest may take a while, too
                    say(harmless(sentence))
            case Waiting(sentence=sentence):
                self._status(sentence)
                if sentence not in self._told and not sys.stderr.isatty():  # where no spinner turns
                    say(harmless(sentence))
                self._told.add(sentence)
            case Notice(sentence=sentence):
                notice(sentence)
            case Started():
                self._start(event)
            case Progress():
                self._progress(event)
            case Interrupted():
                self.interrupted = event
            case Finished():
                self.finished = event

    def close(self) -> None:
        """Stop whatever turns or grows."""
        self._stack.close()
        self._spin = self._draw = None

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _is_measured(self) -> bool:
        return self.last is not None and self.last.done == self.last.planned

    def _status(self, sentence: str) -> None:
        if self._draw is not None and self.last is not None and not self._is_measured():
            self._draw(self.last.done, harmless(sentence))
            return
        if self._spin is None:
            self.close()
            spinner = self._console.status(_plain(sentence))
            self._stack.enter_context(spinner)
            self._spin = lambda sentence: spinner.update(_plain(sentence))
        else:
            self._spin(sentence)

    def _start(self, event: Started) -> None:
        """Put a bar in the spinner's place, which turns in a thread of its own."""
        self.close()
        self._title = event.title
        self.last = Progress(done=event.done, planned=event.planned)
        if not self._console.is_terminal:
            return
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[line]}", markup=False),
        )
        bar = Bar(*columns, console=self._console, auto_refresh=False, expand=True)
        task = bar.add_task(
            harmless(event.title), total=event.planned, completed=event.done, line="warming up"
        )
        entered: AbstractContextManager[Bar] = bar
        self._stack.enter_context(entered)
        bar.refresh()
        self._draw = lambda done, line: bar.update(task, completed=done, line=line, refresh=True)

    def _progress(self, event: Progress) -> None:
        self.last = event
        if self._draw is not None:
            self._draw(event.done, _line(event))
        elif time.monotonic() - self._line_s >= PLAIN_LINE_EVERY_S or event.done == event.planned:
            self._line_s = time.monotonic()
            say("  ".join(filter(None, (harmless(self._title), _line(event, self._unit)))))


def speedups(event: Progress | None) -> str:
    """`hybrid 2.9x, slm 3.1x`: medians of the paired end-to-end ratios to the LLM; empty without any."""
    pairs = sorted(event.speedups.items()) if event else ()
    return ", ".join(f"{system} {ratio(speedup.median)}" for system, speedup in pairs)


def _line(event: Progress, unit: str = "") -> str:
    ratios = speedups(event)
    eta = "" if event.eta_s is None else f"ETA {timedelta(seconds=round(event.eta_s))}"
    parts = (f"{event.done}/{event.planned}{unit}", ratios and f"speed-up {ratios}", event.detail, eta)
    return harmless("  ".join(filter(None, parts)))


def _plain(sentence: str) -> "Text":
    from rich.text import Text

    return Text(harmless(sentence))  # a str would be read as markup, and [/b] of a file's name fail
