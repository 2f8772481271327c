"""What holds for every command: exit codes, one sentence on stderr."""

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

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

    monkeypatch.setattr("hybrid.model.bundle.load_bundle", interrupted)
    assert failure(run("generate", SENTENCE)) == "error: Interrupted.\n"
