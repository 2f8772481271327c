"""`hybrid generate`, in-process and once or twice as a process of its own."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from hybrid.models.manifest import BUNDLED
from hybrid.schema import PHASES, SYSTEMS

SENTENCE = "The house by the river is old."
Answer = Callable[..., dict[str, Any]]
Run = Callable[..., Result]
Failure = Callable[[Result], str]


@pytest.fixture
def answer(run: Run) -> Answer:
    """What --json prints, of at most 12 tokens."""

    def ask(*arguments: str) -> dict[str, Any]:
        result = run("generate", "--json", "--max-new-tokens", "12", "--engine", "torch", *arguments)
        assert result.exit_code == 0, result.stderr
        report: dict[str, Any] = json.loads(result.stdout)
        return report

    return ask


@pytest.mark.parametrize(
    "odd",
    [
        "The cafe\u0301 in Du\u0308sseldorf.",
        "The\u00a0caf\u00e9\r\nin Du\u00ads\u00adsel\u200bdorf.".replace("Du", "D\u00fc"),
    ],
)
def test_what_looks_alike_is_answered_alike_with_a_notice(odd: str, answer: Answer) -> None:
    plain, other = answer("The caf\u00e9 in D\u00fcsseldorf."), answer(odd)
    for name in ("text", "token_ids", "prompt_tokens"):
        assert other[name] == plain[name]
    assert plain["notices"] == []
    assert [sentence[:26] for sentence in other["notices"]] == ["The prompt was normalized "]


@pytest.mark.parametrize("system", SYSTEMS)
def test_json_has_the_answer_and_its_times(system: str, answer: Answer) -> None:
    report = answer(SENTENCE, "--system", system)
    assert list(report) == [
        "text",
        "system",
        "pair",
        "engine",
        "device",
        "dtype",
        "options",
        "task",
        "prompt_tokens",
        "token_ids",
        "finish_reason",
        "timings_ms",
        "ttft_ms",
        "tpot_ms",
        "total_ms",
        "notices",
    ]
    assert (report["system"], report["pair"], report["task"]) == (system, "tiny", "translate-en-de")
    assert 1 <= len(report["token_ids"]) <= 12
    assert list(report["timings_ms"]) == [
        p for p in PHASES if p not in ("draft", "verify") and (p != "project" or system == "hybrid")
    ]
    assert report["total_ms"] == pytest.approx(sum(report["timings_ms"].values()), abs=0.01)
    assert 0 < report["ttft_ms"] < report["total_ms"]


def test_json_agrees_with_the_engine(tiny_bundle: Any, answer: Answer) -> None:
    from hybrid import Sampling, TorchEngine
    from tests.loaded import ask

    engine = TorchEngine(tiny_bundle, "llm")
    (expected,) = ask(engine, tiny_bundle, "summarize", [SENTENCE], Sampling(max_new_tokens=12))
    report = answer(SENTENCE, "--system", "llm", "--task", "summarize")
    assert report["text"] == expected.text
    assert tuple(report["token_ids"]) == expected.token_ids
    assert report["finish_reason"] == expected.finish_reason


def test_plain_output_is_the_answer_alone(run: Run, answer: Answer) -> None:
    result = run("generate", SENTENCE, "--max-new-tokens", "12", "--engine", "torch")
    assert result.exit_code == 0
    assert result.stdout == answer(SENTENCE)["text"] + "\n"
    assert result.stderr.startswith("hybrid of tiny, engine torch: ")
    assert result.stderr.count("\n") == 1


def test_one_token_has_no_pace(run: Run, answer: Answer) -> None:
    report = answer(SENTENCE, "--max-new-tokens", "1")
    assert report["tpot_ms"] is None
    assert len(report["token_ids"]) == 1
    assert "per token" not in run("generate", SENTENCE, "--max-new-tokens", "1").stderr


@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"])  # with and without a byte order mark
def test_dash_reads_standard_input(prefix: bytes, run: Run, answer: Answer) -> None:
    arguments = ("generate", "-", "--max-new-tokens", "12", "--engine", "torch")
    result = run(*arguments, standard_input=prefix + SENTENCE.encode())
    assert result.exit_code == 0
    assert result.stdout == answer(SENTENCE)["text"] + "\n"


def test_text_may_begin_with_a_dash(run: Run) -> None:
    assert run("generate", "--max-new-tokens", "2", "--", "-5 degrees").exit_code == 0


def test_truncation_is_asked_for_and_announced(run: Run, failure: Failure, answer: Answer) -> None:
    prompt = "house " * 500
    assert "the model reads at most 160" in failure(run("generate", prompt))
    report = answer(prompt, "--truncate")
    assert report["prompt_tokens"] == 160
    assert "first 160 of" in report["notices"][0]
    assert "notice: The prompt was cut" in run("generate", prompt, "--truncate").stderr


def test_another_script_is_answered_with_a_notice(answer: Answer) -> None:
    assert "Latin script" in answer("Кошка сидит на ковре.")["notices"][0]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([""], "The prompt is empty"),
        ([" \n\t "], "The prompt is empty"),
        (["a\x1b[31mb"], "control character (U+001B) at position 2"),
        (["a\x00b"], "control character (U+0000) at position 2"),
        ([SENTENCE, "--pair", "huge"], "There is no pair 'huge'; available: tiny."),
        ([SENTENCE, "--pair", "../tiny"], "There is no pair '../tiny'; available: tiny."),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], error: str, run: Run, failure: Failure) -> None:
    assert error in failure(run("generate", *arguments))


def test_standard_input_must_be_utf8(run: Run, failure: Failure) -> None:
    result = run("generate", "-", standard_input=b"gr\xfc\xdfe")
    assert "not UTF-8 text: invalid start byte at byte 3" in failure(result)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("harm", ["changed", "truncated", "missing"])
def test_damaged_weights_are_named(
    system: str,
    harm: str,
    tiny_zoo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Run,
    failure: Failure,
) -> None:
    zoo = shutil.copytree(tiny_zoo, tmp_path / "zoo")
    weights = zoo / "tiny" / system / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    match harm:
        case "changed":
            weights.write_bytes(content)
        case "truncated":
            weights.write_bytes(content[: len(content) // 2])
        case "missing":
            weights.unlink()
    monkeypatch.setenv("HYBRID_ZOO", str(zoo))
    sentence = failure(run("generate", SENTENCE, "--system", system, "--engine", "torch"))
    assert str(weights) in sentence
    assert ("is missing" if harm == "missing" else "SHA-256") in sentence


def test_as_a_process_in_an_ascii_locale(answer: Answer) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    command = [sys.executable, "-m", "hybrid.cli", "generate", "-", "--max-new-tokens", "12"]
    command += ["--engine", "torch"]
    done = subprocess.run(
        command, input="Grüße an alle.".encode(), env=environment, capture_output=True, check=True
    )
    assert done.stdout.decode("utf-8") == answer("Grüße an alle.")["text"] + "\n"
    assert done.stderr.startswith(b"hybrid of tiny, engine torch: ")
    assert done.stderr.count(b"\n") == 1  # no warning and no progress bar of a library


@pytest.mark.slow
@pytest.mark.skipif(not any(BUNDLED.glob("*/pair.json")), reason="no pair is bundled")
def test_cold_start_within_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HYBRID_ZOO", raising=False)
    start = time.monotonic()
    subprocess.run([sys.executable, "-m", "hybrid.cli", "generate", SENTENCE], check=True)
    assert time.monotonic() - start < 10
