"""The command `hybrid`: parse, call one function, print.

Data goes to stdout, always as UTF-8; everything else goes to stderr. Exit
codes: 0, 1 (failed, said in one sentence), 2 (wrong usage), 130 and 143 (a
benchmark that was interrupted and, where anything was stored, can go on).
Torch and what stands on it are imported inside the commands, and a command's
own module when it is called, so that `--help` and the lists are instant.
"""

import os
import secrets
import signal
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from runpy import run_module
from typing import IO, Any

import click

from hybrid.cli.console import harmless, open_streams, say
from hybrid.errors import HybridError

# Each command but `app`, and the module that has it under its own name.
COMMANDS: Mapping[str, str] = {
    "bench": "bench",
    "claim": "claim",
    "compare": "stored_runs",
    "delete": "stored_runs",
    "device": "device",
    "engines": "device",
    "evaluate": "train",
    "export": "stored_runs",
    "generate": "generate",
    "latency": "latency",
    "pairs": "pairs",
    "predict": "device",
    "private": "bench",
    "report": "stored_runs",
    "runs": "stored_runs",
    "score": "stored_runs",
    "train": "train",
}


class _Failure(click.ClickException):
    """A failure as one line on stderr, `error: ...`, and exit code 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        say(f"error: {harmless(self.message)}")


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
            open_streams()
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
@click.option(
    "--host", metavar="ADDRESS", help="Also for others, such as 0.0.0.0; the address that is printed has a "
    "token, and without it nothing can be measured, imported or deleted. [default: this machine alone]",
)  # fmt: skip
@click.option("--read-only", is_flag=True, help="Only show what is stored, to everyone.")
@click.option("--any-file", is_flag=True, help="Let pages measure files from outside the folder of suites.")
def app(port: int | None, host: str | None, read_only: bool, any_file: bool) -> None:
    """Open the bench in the browser. SECURITY.md says who may do what."""
    from hybrid.presentation import access
    from hybrid.store.folders import APP, runtime_folder

    if not APP.is_file():
        raise HybridError(f"{APP} is missing; run the bench from a clone installed with `pip install -e .`.")
    if host is not None or port is not None:
        _check_address(host, port)
    arguments = ["streamlit", "run", str(APP)]
    if port is not None:
        arguments += ["--server.port", str(port)]
    if host is not None:
        arguments += ["--server.address", host]
    if host is not None and not access.is_loopback(host):
        arguments += ["--server.allowedHosts", "*"]
        os.environ.setdefault(access.TOKEN, secrets.token_urlsafe(24))
    os.environ |= {access.READ_ONLY: access.ON} if read_only else {}
    os.environ |= {access.ANY_FILE: access.ON} if any_file else {}
    try:
        Path.home()
    except RuntimeError:  # a user whom the system does not know; Streamlit looks for its settings there
        os.environ["HOME"] = str(runtime_folder())
    _become_server(arguments)


def _check_address(host: str | None, port: int | None) -> None:
    """Raise HybridError where the server could not listen: Streamlit ends in a traceback, or names no fix."""
    import socket

    place = "127.0.0.1" if host is None else host or None  # an empty one is every address
    try:
        family, _, _, _, address = socket.getaddrinfo(
            place, port or 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.create_server(address[:2], family=family):
            pass
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        given = " and ".join(
            f"{name} {value}" for name, value in (("--host", host), ("--port", port)) if value is not None
        )
        raise HybridError(
            f"The bench cannot be served with {given}: {reason}. Give a free port, and an address of this "
            "machine, or leave them out."
        ) from error


def _become_server(arguments: list[str]) -> None:
    """Be what `python -m streamlit run` is, but end on Ctrl-C without a word: that is how it is ended."""
    # The server takes SIGINT while it runs, gives it back at its end, and sends it once more.
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    sys.argv = arguments
    run_module("streamlit", run_name="__main__", alter_sys=True)


main.add_command(app)
