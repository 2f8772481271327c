"""`hybrid app` becomes the server of the bench."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Run = Callable[..., Result]
Failure = Callable[[Result], str]


def test_app_becomes_the_server(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: started.append([program, *arguments]))
    assert run("app", "--port", "8600").exit_code == 0
    page = str(Path(__file__).parents[2] / "app.py")
    streamlit = [sys.executable, sys.executable, "-m", "streamlit", "run", page]
    assert started == [[*streamlit, "--server.port", "8600"]]


def test_app_needs_a_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, failure: Failure
) -> None:
    monkeypatch.setattr("hybrid.store.folders.APP", tmp_path / "app.py")
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("the server was started"))
    said = failure(run("app"))
    assert str(tmp_path / "app.py") in said
    assert "pip install -e ." in said
