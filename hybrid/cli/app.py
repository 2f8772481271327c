"""`hybrid app`: the bench in the browser."""

import os
import sys

import click

from hybrid.errors import HybridError
from hybrid.store.folders import APP


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), metavar="N", help="[default: 8501 or the next free]")
def app(port: int | None) -> None:
    """Open the bench in the browser."""
    if not APP.is_file():
        raise HybridError(f"{APP} is missing; run the bench from a clone installed with `pip install -e .`.")
    arguments = ["-m", "streamlit", "run", str(APP)]
    if port is not None:
        arguments += ["--server.port", str(port)]
    os.execv(sys.executable, [sys.executable, *arguments])  # signals then reach the server itself
