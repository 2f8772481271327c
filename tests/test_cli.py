"""The command `hybrid`, in-process and once or twice as a process of its own."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hybrid import cli
from hybrid.model.manifest import BUNDLED
from hybrid.schema import PHASES, SYSTEMS

SENTENCE = "The house by the river is old."


@pytest.fixture(autouse=True)
def _tiny_zoo(tiny_zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRID_ZOO", str(tiny_zoo))


def run(*arguments: str, standard_input: bytes | None = None) -> Result:
    return CliRunner().invoke(cli.main, arguments, input=standard_input)


def failure(result: Result) -> str:
    """The one sentence on stderr of a command that failed as it should."""
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


# generate


def answer(*arguments: str) -> dict[str, Any]:
    result = run("generate", "--json", "--max-new-tokens", "12", *arguments)
    assert result.exit_code == 0, result.stderr
    report: dict[str, Any] = json.loads(result.stdout)
    return report


@pytest.mark.parametrize("system", SYSTEMS)
def test_json_has_the_answer_and_its_times(system: str) -> None:
    report = answer(SENTENCE, "--system", system)
    assert list(report) == [
        "text",
        "system",
        "pair",
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
    assert list(report["timings_ms"]) == [p for p in PHASES if p != "project" or system == "hybrid"]
    assert report["total_ms"] == pytest.approx(sum(report["timings_ms"].values()), abs=0.01)
    assert 0 < report["ttft_ms"] < report["total_ms"]


def test_json_agrees_with_the_engine(tiny_bundle: Any) -> None:
    from hybrid import Sampling, TorchEngine, timed

    steps = TorchEngine(tiny_bundle, "llm").generate("summarize", SENTENCE, Sampling(max_new_tokens=12))
    expected = timed(steps, "llm")
    report = answer(SENTENCE, "--system", "llm", "--task", "summarize")
    assert report["text"] == expected.text
    assert tuple(report["token_ids"]) == expected.token_ids
    assert report["finish_reason"] == expected.finish_reason


def test_plain_output_is_the_answer_alone() -> None:
    result = run("generate", SENTENCE, "--max-new-tokens", "12")
    assert result.exit_code == 0
    assert result.stdout == answer(SENTENCE)["text"] + "\n"
    assert result.stderr.startswith("hybrid of tiny: ")
    assert result.stderr.count("\n") == 1


def test_one_token_has_no_pace() -> None:
    report = answer(SENTENCE, "--max-new-tokens", "1")
    assert report["tpot_ms"] is None
    assert len(report["token_ids"]) == 1
    assert "per token" not in run("generate", SENTENCE, "--max-new-tokens", "1").stderr


@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"])  # with and without a byte order mark
def test_dash_reads_standard_input(prefix: bytes) -> None:
    result = run("generate", "-", "--max-new-tokens", "12", standard_input=prefix + SENTENCE.encode())
    assert result.exit_code == 0
    assert result.stdout == answer(SENTENCE)["text"] + "\n"


def test_text_may_begin_with_a_dash() -> None:
    assert run("generate", "--max-new-tokens", "2", "--", "-5 degrees").exit_code == 0


def test_truncation_is_asked_for_and_announced() -> None:
    prompt = "house " * 500
    assert "the model reads at most 160" in failure(run("generate", prompt))
    report = answer(prompt, "--truncate")
    assert report["prompt_tokens"] == 160
    assert "first 160 of" in report["notices"][0]
    assert "notice: The prompt was cut" in run("generate", prompt, "--truncate").stderr


def test_another_script_is_answered_with_a_notice() -> None:
    assert "Latin script" in answer("Кошка сидит на ковре.")["notices"][0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([""], "The prompt is empty"),
        ([" \n\t "], "The prompt is empty"),
        (["a\x1b[31mb"], "control character (U+001B) at position 2"),
        (["a\x00b"], "control character (U+0000) at position 2"),
        ([SENTENCE, "--pair", "huge"], "There is no pair 'huge'; available: tiny."),
        ([SENTENCE, "--pair", "../tiny"], "There is no pair '../tiny'; available: tiny."),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], said: str) -> None:
    assert said in failure(run("generate", *arguments))


def test_standard_input_must_be_utf8() -> None:
    result = run("generate", "-", standard_input=b"gr\xfc\xdfe")
    assert "not UTF-8 text: invalid start byte at byte 3" in failure(result)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("harm", ["changed", "truncated", "missing"])
def test_damaged_weights_are_named(
    system: str, harm: str, tiny_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    said = failure(run("generate", SENTENCE))
    assert str(weights) in said
    assert ("is missing" if harm == "missing" else "SHA-256") in said


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
def test_wrong_usage_is_exit_code_2(arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert said in result.stderr


def test_interrupt_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hybrid.model.bundle.load_bundle", interrupted)
    assert failure(run("generate", SENTENCE)) == "error: Interrupted.\n"


def test_as_a_process_in_an_ascii_locale() -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    command = [sys.executable, "-m", "hybrid.cli", "generate", "-", "--max-new-tokens", "12"]
    done = subprocess.run(
        command, input="Grüße an alle.".encode(), env=environment, capture_output=True, check=True
    )
    assert done.stdout.decode("utf-8") == answer("Grüße an alle.")["text"] + "\n"
    assert done.stderr.startswith(b"hybrid of tiny: ")
    assert done.stderr.count(b"\n") == 1  # no warning and no progress bar of a library


@pytest.mark.slow
@pytest.mark.skipif(not any(BUNDLED.glob("*/pair.json")), reason="no pair is bundled")
def test_cold_start_within_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HYBRID_ZOO")
    start = time.monotonic()
    subprocess.run([sys.executable, "-m", "hybrid.cli", "generate", SENTENCE], check=True)
    assert time.monotonic() - start < 10


# pairs


def test_pairs_as_text_and_json() -> None:
    name, sizes, tasks, limit = run("pairs").stdout.rstrip("\n").split("\t")
    assert (name, tasks, limit) == ("tiny", "translate-en-de, summarize", "up to 160 prompt tokens")
    assert sizes.startswith("llm 0.")
    (manifest,) = json.loads(run("pairs", "--json").stdout)
    assert manifest["name"] == "tiny"
    assert set(manifest["parameters"]) == set(SYSTEMS)


def test_no_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRID_ZOO", str(tmp_path))
    result = run("pairs")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"notice: There are no pairs in {tmp_path}.\n"
    assert json.loads(run("pairs", "--json").stdout) == []


def test_unreadable_manifest_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "pair.json").write_text('{"format": 1, "na')
    monkeypatch.setenv("HYBRID_ZOO", str(tmp_path))
    assert str(tmp_path / "torn" / "pair.json") in failure(run("pairs"))


# app


def test_app_becomes_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: started.append([program, *arguments]))
    assert run("app", "--port", "8600").exit_code == 0
    page = str(Path(__file__).parents[1] / "app.py")
    streamlit = [sys.executable, sys.executable, "-m", "streamlit", "run", page]
    assert started == [[*streamlit, "--server.port", "8600"]]


def test_app_needs_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "__file__", str(tmp_path / "hybrid" / "cli" / "__init__.py"))
    said = failure(run("app"))
    assert str(tmp_path / "app.py") in said
    assert "pip install -e ." in said


# train


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "There is no recipe"),
        ("name = ", "is not valid TOML"),
        ('name = "x"\nspeed = 3\n', "speed is not a key"),
        ('name = "x"\n', "seed is missing"),
    ],
)
def test_wrong_recipe_is_one_sentence(content: str | None, said: str, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    if content is not None:
        recipe.write_text(content)
    message = failure(run("train", str(recipe)))
    assert str(recipe) in message
    assert said in message


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Replaces training by two stages of ready events; the calls it got."""
    from hybrid.training.train import TrainEvent

    calls: list[tuple[Any, ...]] = []

    def fake(*arguments: Any) -> Iterator[TrainEvent]:
        calls.append(arguments)
        rates = {"tokens_per_s": 512345.6, "eta_s": 3725.2}
        yield TrainEvent("start", "llm", 0, 200, {"device": "cpu", "resumed_from": 0})
        yield TrainEvent("progress", "llm", 100, 200, {"cross_entropy": 3.14159, "kl": 0.0} | rates)
        yield TrainEvent("dev", "llm", 200, 200, {"cross_entropy": 2.5})
        yield TrainEvent("done", "llm", 200, 200, {"gpu_hours": 0.1})
        yield TrainEvent("start", "hybrid", 40, 80, {"resumed_from": 40})
        yield TrainEvent("progress", "hybrid", 60, 80, {"cross_entropy": 1.5, "kl": 0.25} | rates)
        yield TrainEvent("stopped", "hybrid", 60, 80)

    monkeypatch.setattr("hybrid.training.recipe.load_recipe", lambda path: path)
    monkeypatch.setattr("hybrid.training.train.train", fake)
    return calls


def test_train_hands_its_options_on(trained: list[tuple[Any, ...]]) -> None:
    assert run("train", "r.toml").exit_code == 0
    assert run("train", "r.toml", "--stage", "a", "--stage", "b", "--stop-after", "9.5").exit_code == 0
    assert trained == [(Path("r.toml"), None, None), (Path("r.toml"), ("a", "b"), 9.5)]


@pytest.mark.usefixtures("trained")
def test_train_without_a_terminal_prints_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybrid.cli.progress.PLAIN_LINE_EVERY_S", 0.0)
    result = run("train", "r.toml")
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "llm  start  0/200  ",
        "llm  progress  100/200  cross-entropy 3.142  512,346 tokens/s  ETA 1:02:05",
        "llm  dev  200/200  cross-entropy 3.142  512,346 tokens/s  ETA 1:02:05  dev cross-entropy 2.500",
        "llm  done  200/200  cross-entropy 3.142  512,346 tokens/s  done  dev cross-entropy 2.500",
        "hybrid  start  40/80  ",
        "hybrid  progress  60/80  cross-entropy 1.500  KL 0.250  512,346 tokens/s  ETA 1:02:05",
        "hybrid  stopped  60/80  cross-entropy 1.500  KL 0.250  512,346 tokens/s  stopped",
    ]


@pytest.mark.usefixtures("trained")
def test_train_on_a_terminal_draws_a_bar_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "160")
    result = run("train", "r.toml")
    assert result.stdout == ""
    assert "200/200" in result.stderr
    assert "512,346 tokens/s" in result.stderr
    assert "60/80" in result.stderr


@pytest.mark.usefixtures("trained")
def test_train_draws_in_the_first_of_several_processes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert run("train", "r.toml").output == ""


def test_train_with_nothing_left_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybrid.training.recipe.load_recipe", lambda path: path)
    monkeypatch.setattr("hybrid.training.train.train", lambda *_: iter(()))
    assert run("train", "r.toml").stderr == "notice: Every stage is finished already.\n"
