"""What the tests of `hybrid latency` share: the command with results and lock of its own."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result


@pytest.fixture
def measure(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """measure("--llm", ...): `hybrid latency` with results and lock of its own."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("HYBRID_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("HYBRID_RUNTIME", str(tmp_path / "tmp"))
    return lambda *arguments: run("latency", *arguments)


@pytest.fixture
def refusal() -> Callable[[Result, int], str]:
    """refusal(result, exit_code): what a command that printed nothing said."""

    def read(result: Result, exit_code: int) -> str:
        assert result.exit_code == exit_code, result.output
        assert result.stdout == ""
        return result.stderr

    return read
