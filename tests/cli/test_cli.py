"""What holds for every command: exit codes, one sentence on stderr."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from hybrid.cli.console import harmless, notice, out_json, status
from tests.made_runs import store_run

SENTENCE = "The house by the river is old."
Run = Callable[..., Result]
Failure = Callable[[Result], str]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["generate"], "Missing argument 'TEXT'"),
        (["generate", SENTENCE, "--system", "gpt"], "'gpt' is not one of 'llm', 'slm', 'hybrid'"),
        (["generate", SENTENCE, "--max-new-tokens", "0"], "0 is not in the range"),
        (["generate", SENTENCE, "--threads", "0"], "0 is not in the range"),
        (["generate", SENTENCE, "--beams", "4"], "No such option"),
        (["app", "--port", "70000"], "70000 is not in the range"),
        (["train"], "Missing argument 'RECIPE'"),
        (["train", "x.toml", "--stop-after", "0"], "0.0 is not in the range"),
        (["dance"], "No such command 'dance'"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str], error: str, run: Run) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert error in result.stderr


LONG = "x" * 5000  # no file system has such a name


@pytest.mark.parametrize(
    "line",
    [
        f"train {LONG}",
        f"evaluate {LONG}",
        f"evaluate a.tsv --recipe {LONG}",
        f"pairs add a --llm {LONG} --slm a",
        f"pairs add a --llm ./{LONG} --slm a",
        f"pairs add a --llm {LONG}.gguf --slm a",
        f"generate a --pair {LONG}",
        f"bench file:{LONG} --task summarize",
        f"bench file:{LONG},{LONG} --task summarize",
        f"bench --plan {LONG}",
        f"latency --llm {LONG}/config.json --slm t5-small",
        f"delete grids/{LONG}",
    ],
)
def test_a_name_too_long_for_a_file_is_one_sentence(line: str, run: Run) -> None:
    result = run(*line.split())
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert isinstance(result.exception, SystemExit)


def test_interrupt_is_one_sentence(monkeypatch: pytest.MonkeyPatch, run: Run, failure: Failure) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hybrid.cli.generate.best_engines", interrupted)
    assert failure(run("generate", SENTENCE)) == "error: Interrupted.\n"


HOSTILE = "a\x1b[2J\x07\u202e\udc80b"


def test_a_failure_cannot_steer_the_terminal(
    run: Run, failure: Failure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a\x1b[2J\rb", "a\nb"):
        monkeypatch.setenv("HYBRID_ZOO", str(tmp_path / name))
        error = failure(run("generate", SENTENCE))
        assert error[:-1].isprintable()
        assert error.endswith("\n")


def test_a_notice_is_one_harmless_line(capsys: pytest.CaptureFixture[str]) -> None:
    notice(f"{HOSTILE} Grüße\n😀")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "notice: a?[2J???b Grüße 😀\n")


def test_what_cannot_be_printed_is_replaced() -> None:
    assert harmless(HOSTILE) == "a?[2J???b"
    assert harmless("a\tb\r\nc\u2028d\xa0e") == "a b  c d e"


def test_a_status_is_no_markup(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.setenv(name, "1")  # else it is silent here
    with status("Reading file:/data/[/b]x.tsv"):
        pass
    assert "Reading file:/data/[/b]x.tsv" in capsys.readouterr().err
    with status("Reading") as say:
        say("Reading file:/data/[/b]\x1b[2J.tsv")
    assert "Reading file:/data/[/b]?[2J.tsv" in capsys.readouterr().err


def test_a_forced_terminal_draws_nothing_into_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TTY_COMPATIBLE", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with status("Reading") as tell:
        tell("Still reading")
    assert capsys.readouterr().err == ""


def test_what_would_steer_a_terminal_is_escaped_in_json(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    value = {"name": f"ä\n\x9b31m{HOSTILE}👍"}
    out_json(value)
    written = capsysbinary.readouterr().out
    assert json.loads(written) == value
    assert all(c.isprintable() or c == "\n" for c in written.decode("utf-8"))


@pytest.mark.parametrize(
    ("option", "command"),
    [
        ("--price-per-hour", ("compare", "latest")),
        ("--price-per-hour", ("predict", "--llm", "t5-large", "--slm", "t5-small")),
        ("--wait", ("device",)),
        ("--wait", ("bench", "everyday-en-de")),
        ("--time-limit", ("latency",)),
        ("--stop-after", ("train", "x.toml")),
    ],
)
@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e999"])
def test_numbers_are_finite(number: str, option: str, command: tuple[str, ...], run: Run) -> None:
    result = run(*command, f"{option}={number}")
    assert result.exit_code == 2
    assert option in result.stderr


def test_more_threads_than_cores_are_said(run: Run) -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for threads in (cores, cores + 1):  # the task is wrong, so that nothing else is done
        error = run("bench", "everyday-en-de", f"--threads={threads}", "--task=sing").stderr
        assert ("wait for each other" in error) == (threads > cores)
    assert f"notice: {cores + 1} threads wait for each other on {cores} core" in error


# Streams, in a process of its own: what Python and the shell do with them cannot be played here.
STREAMS = [
    ("runs >&-", 1, "error: Standard output is closed"),
    ("runs >/dev/full", 1, "error: Standard output cannot be written: No space left on device."),
    ("runs --json >/dev/full", 1, "error: Standard output cannot be written: No space left on device."),
    ("runs 2>&- <&-", 0, ""),
    ("runs 2>/dev/full", 0, ""),
    ("generate - </dev/zero", 1, "error: Standard input has more than 1,048,576 bytes"),
    ("bench --plan - </dev/zero", 1, "error: Standard input has more than 16,777,216 bytes"),
    ("bench --plan /dev/zero", 1, "error: The plan /dev/zero has more than 16,777,216 bytes"),
]


def test_streams_that_are_closed_full_or_endless_are_one_sentence(tmp_path: Path, tiny_zoo: Path) -> None:
    """Of all at once, as each process takes a second to start."""
    environment = os.environ | {"HYBRID_RESULTS": str(tmp_path / "results"), "HYBRID_ZOO": str(tiny_zoo)}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    store_run(tmp_path / "results", 0, examples=1)

    def started(line: str) -> "subprocess.Popen[str]":
        command = ["sh", "-c", f"{sys.executable} -m hybrid.cli {line}"]
        return subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True)

    for (line, code, error), process in [(stream, started(stream[0])) for stream in STREAMS]:
        _, stderr = process.communicate(timeout=60)
        assert (line, process.returncode) == (line, code), stderr
        assert stderr.startswith(error), line
        assert stderr.count("\n") == bool(error), line


# What a help may not import: what opens stores and pairs, and all that takes a tenth of a second or more.
HEAVY = {
    "hybrid.store", "hybrid.models.manifest", "hybrid.models.architectures.records", "msgspec", "numpy",
    "torch", "transformers", "tokenizers", "safetensors", "accelerate", "pandas", "pyarrow", "streamlit",
    "rich", "psutil", "filelock", "onnxruntime", "huggingface_hub", "sacrebleu",
}  # fmt: skip


def imported_by(code: str) -> set[str]:
    """Name the modules that a fresh process has imported after `code`, in which `main` is the command."""
    code = f"import sys; from hybrid.cli import COMMANDS, main; {code}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_no_help_imports_what_only_the_work_needs() -> None:
    """Each command's module is imported for its line in the list, and no more for a help of its own."""
    code = "[main([*name, '--help'], standalone_mode=False) for name in [(), *((c,) for c in COMMANDS)]]"
    assert not imported_by(code) & HEAVY


def test_what_lists_imports_no_model_and_no_table() -> None:
    modules = imported_by("main(['pairs'], standalone_mode=False); main(['runs'], standalone_mode=False)")
    assert not modules & {"torch", "transformers", "tokenizers", "numpy", "pandas", "rich", "streamlit"}
