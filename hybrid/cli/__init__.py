"""The command `hybrid`: parse, call one function, print.

Data goes to stdout, always as UTF-8; everything else goes to stderr. Exit
codes: 0, 1 (failed, said in one sentence), 2 (wrong usage), 130 and 143 (a
benchmark that was interrupted and can go on). Torch and what stands on it are
imported inside the commands, and a command's own module when it is called, so
that `--help` and the lists are instant.
"""

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import IO, Any

import click

from hybrid.cli.console import harmless
from hybrid.errors import HybridError

# Each command but `app`, and the module that has it under its own name.
COMMANDS: Mapping[str, str] = {
    "bench": "bench",
    "compare": "stored_runs",
    "delete": "stored_runs",
    "device": "device",
    "engines": "engines",
    "evaluate": "train",
    "export": "stored_runs",
    "generate": "generate",
    "latency": "latency",
    "pairs": "engines",
    "predict": "device",
    "report": "stored_runs",
    "runs": "stored_runs",
    "score": "stored_runs",
    "train": "train",
}


class _Failure(click.ClickException):
    """A failure as one line on stderr, `error: ...`, and exit code 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"error: {harmless(self.message)}", file=file, err=True)


class _Commands(click.Group):
    """Import a command when it is called; turn reported failures and an interrupt into a _Failure."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*COMMANDS, *super().list_commands(ctx)])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(import_module(f"hybrid.cli.{COMMANDS[cmd_name]}"), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HybridError as error:
            raise _Failure(str(error)) from error
        except KeyboardInterrupt as error:
            raise _Failure("Interrupted.") from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hybrid-bench")
def main() -> None:
    """Measure LLM-to-SLM side by side: a large model reads, a small model writes."""


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), metavar="N", help="[default: 8501 or the next free]")
def app(port: int | None) -> None:
    """Open the bench in the browser."""
    from hybrid.store.folders import APP

    if not APP.is_file():
        raise HybridError(f"{APP} is missing; run the bench from a clone installed with `pip install -e .`.")
    arguments = ["-m", "streamlit", "run", str(APP)]
    if port is not None:
        arguments += ["--server.port", str(port)]
    os.execv(sys.executable, [sys.executable, *arguments])  # signals then reach the server itself


main.add_command(app)
