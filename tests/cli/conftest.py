"""What the tests of the commands share: the command in-process, over the tiny pair."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from hybrid import cli
from hybrid.cli import console


@pytest.fixture
def run(tiny_zoo: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """run("generate", ..., standard_input=b"..."): the command `hybrid`, whose only pair is the tiny one."""
    monkeypatch.setenv("HYBRID_ZOO", str(tiny_zoo))

    def invoke(*arguments: str, standard_input: bytes | None = None) -> Result:
        return CliRunner().invoke(cli.main, arguments, input=standard_input)

    return invoke


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stderr is drawn on as on a terminal of 100 columns."""
    monkeypatch.setattr(console, "stderr_console", lambda: Console(stderr=True, force_terminal=True))
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def failure() -> Callable[[Result], str]:
    """failure(result): the one sentence on stderr of a command that failed as it should."""

    def sentence(result: Result) -> str:
        assert result.exit_code == 1
        assert result.stdout == ""
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
        return result.stderr

    return sentence
