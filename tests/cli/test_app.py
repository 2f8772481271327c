"""`hybrid app` becomes the server of the bench."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from hybrid import cli
from hybrid.presentation.access import ANY_FILE, READ_ONLY, TOKEN, Access
from tests.any_machine import free_port

Run = Callable[..., Result]
Failure = Callable[[Result], str]


def test_app_becomes_the_server(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(cli, "_become_server", started.append)
    assert run("app", "--port", "8600").exit_code == 0
    page = str(Path(__file__).parents[2] / "app.py")
    assert started == [["streamlit", "run", page, "--server.port", "8600"]]


def test_ctrl_c_ends_the_server_without_a_word(tmp_path: Path) -> None:
    own = {
        "HYBRID_RESULTS": str(tmp_path),
        "HYBRID_RUNTIME": str(tmp_path),
        "STREAMLIT_SERVER_HEADLESS": "true",
    }
    port = free_port()
    command = [sys.executable, "-m", "hybrid.cli", "app", "--port", str(port)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=os.environ | own, text=True, **pipes) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        server.send_signal(signal.SIGINT)
        rest, errors = server.communicate(timeout=60)
    assert str(port) in line
    assert (server.returncode, rest, errors) == (0, "", "")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Command lines that were started, in an environment of its own."""
    lines: list[list[str]] = []
    monkeypatch.setattr(cli, "_become_server", lines.append)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    for name in (TOKEN, READ_ONLY, ANY_FILE):
        os.environ.pop(name, None)
    return lines


def test_what_others_reach_has_a_token(started: list[list[str]], run: Run) -> None:
    for host in ("127.0.0.1", "::1", "localhost"):
        assert run("app", "--host", host).exit_code == 0
        assert started[-1][-2:] == ["--server.address", host]
        assert TOKEN not in os.environ
    assert run("app", "--host", "0.0.0.0").exit_code == 0
    assert started[-1][-4:] == ["--server.address", "0.0.0.0", "--server.allowedHosts", "*"]
    assert len(os.environ[TOKEN]) >= 32


def test_what_pages_allow_is_said_when_they_are_started(started: list[list[str]], run: Run) -> None:
    run("app")
    assert Access.of_server("::1") == Access("::1")
    run("app", "--read-only", "--any-file")
    assert Access.of_server("::1") == Access("::1", read_only=True, any_file=True)


def test_app_needs_a_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, failure: Failure
) -> None:
    monkeypatch.setattr("hybrid.store.folders.APP", tmp_path / "app.py")
    monkeypatch.setattr(cli, "_become_server", lambda _: pytest.fail("the server was started"))
    sentence = failure(run("app"))
    assert str(tmp_path / "app.py") in sentence
    assert "pip install -e ." in sentence


@pytest.mark.parametrize("host", ["192.0.2.7", "x" * 70])
def test_an_address_of_no_machine_here_is_one_sentence(
    started: list[list[str]], run: Run, failure: Failure, host: str
) -> None:
    assert f"with --host {host}: " in failure(run("app", "--host", host))
    assert started == []


def test_a_port_that_is_taken_is_one_sentence(started: list[list[str]], run: Run, failure: Failure) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"with --port {port}: Address already in use" in failure(run("app", "--port", str(port)))
    assert started == []
