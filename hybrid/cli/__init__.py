"""The command `hybrid`: parse, call one function, print.

Data goes to stdout, always as UTF-8; everything else goes to stderr. Exit
codes: 0, 1 (failed, said in one sentence), 2 (wrong usage), 130 and 143 (a
benchmark that was interrupted and can go on). Torch and what stands on it are
imported inside the commands, so that `--help` is instant.
"""

import os
import sys
from typing import IO, Any

import click

from hybrid.cli.bench import bench
from hybrid.cli.console import harmless
from hybrid.cli.device import device
from hybrid.cli.engines import engines, pairs
from hybrid.cli.evaluate import evaluate
from hybrid.cli.generate import generate
from hybrid.cli.latency import latency
from hybrid.cli.predict import predict
from hybrid.cli.stored_runs import compare, export, report, runs, score
from hybrid.cli.train import train
from hybrid.errors import HybridError


class _Failure(click.ClickException):
    """A failure as one line on stderr, `error: ...`, and exit code 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"error: {harmless(self.message)}", file=file, err=True)


class _Commands(click.Group):
    """Turns what the product reports, and an interrupt, into a _Failure."""

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
    """A large model reads, a small model writes: LLM-to-SLM, measured side by side."""


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


for command in (
    generate,
    pairs,
    engines,
    app,
    train,
    bench,
    latency,
    device,
    predict,
    evaluate,
    runs,
    score,
    compare,
    export,
    report,
):
    main.add_command(command)
