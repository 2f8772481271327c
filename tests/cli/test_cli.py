"""What holds for every command: exit codes, one sentence on stderr."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from hybrid.cli.console import harmless, notice, status

SENTENCE = "The house by the river is old."
Run = Callable[..., Result]
Failure = Callable[[Result], str]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["generate"], "Missing argument 'TEXT'"),
        (["generate", SENTENCE, "--task", "sing"], "'sing' is not one of 'translate-en-de', 'summarize'"),
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
def test_wrong_usage_is_exit_code_2(arguments: list[str], said: str, run: Run) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert said in result.stderr


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
        said = failure(run("generate", SENTENCE))
        assert said[:-1].isprintable()
        assert said.endswith("\n")


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
