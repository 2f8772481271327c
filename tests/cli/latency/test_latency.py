"""`hybrid latency`: the command as a person uses it, on the tiny pair's shapes."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from hybrid.cli import console
from hybrid.format import ratio
from hybrid.sizing import grid as latency
from hybrid.store.grids import list_grids, load_grid

PAIR = ("--llm", "bundled-llm", "--slm", "bundled-slm")
SMALL = (*PAIR, "--engine", "torch", "--prompt", "8", "--output", "4", "--repeats", "2")
OUTSIDE = ("tokenize", "detokenize")
Refusal = Callable[[Result, int], str]


def stop_after(groups: int, how: BaseException, patch: pytest.MonkeyPatch) -> None:
    """Let measuring end with `how` after so many sizes."""
    stream = latency.measure_cells

    def stopped(*arguments: Any) -> Iterator[Any]:
        measured = stream(*arguments)
        for _ in range(groups):
            yield next(measured)
        raise how

    patch.setattr(latency, "measure_cells", stopped)


def test_one_pair_is_measured_printed_and_stored(measure: Callable[..., Result]) -> None:
    result = measure(*SMALL)
    assert result.exit_code == 0, result.output
    stored = load_grid("latest")
    assert [(c.method, c.llm, c.slm) for c in stored.cells] == [
        ("llm", "bundled-llm", None), ("slm", None, "bundled-slm"), ("hybrid", "bundled-llm", "bundled-slm"),
    ]  # fmt: skip
    assert all(len(c.ttft_s) == 2 and (c.prompt_tokens, c.output_tokens) == (8, 4) for c in stored.cells)
    assert stored.grid.environment.weights_sha256 == ""
    assert "weights: random; speed only, no quality" in result.stdout
    rows = [line.split() for line in result.stdout.splitlines() if re.match(r"\s+1\s+8\s+4\s", line)]
    assert [row[3] for row in rows] == ["llm", "slm", "hybrid"] * 2
    assert rows[0][-1] == "baseline"
    speedup = stored.cells[0].median_total_s / stored.cells[2].median_total_s
    assert rows[2][-1] == ratio(speedup)
    assert f"3 of 3 cells of grid {stored.grid.grid_id} are stored.\n" in result.stderr


def test_a_pair_of_decoder_only_models_is_measured(measure: Callable[..., Result], tmp_path: Path) -> None:
    llama = {
        "model_type": "llama", "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 600, "tie_word_embeddings": True,
    }  # fmt: skip
    gpt2 = {
        "model_type": "gpt2",
        "n_embd": 32,
        "n_head": 2,
        "n_layer": 2,
        "n_positions": 64,
        "vocab_size": 500,
    }
    for name, config in (("reads", llama), ("writes", gpt2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    pair = [
        f"--{role}={tmp_path / name / 'config.json'}" for role, name in (("llm", "reads"), ("slm", "writes"))
    ]
    result = measure(*pair, "--engine", "torch", "--prompt", "8", "--output", "4", "--repeats", "2")
    assert result.exit_code == 0, result.output
    phases = {
        cell.method: [p for p in cell.median_phases_s if p not in OUTSIDE]
        for cell in load_grid("latest").cells
    }
    assert phases == {
        "llm": ["prefill", "decode"], "slm": ["prefill", "decode"],
        "hybrid": ["encode", "project", "prefill", "decode"],
    }  # fmt: skip
    output = measure(*pair, "--engine", "torch", "--prompt", "60", "--output", "8").output
    assert "positions for 64 tokens and --prompt and --output together ask for 68" in output


def test_lists_make_a_grid(measure: Callable[..., Result]) -> None:
    arguments = (
        "--batch",
        "2,1",
        "--prompt",
        "8, 12",
        "--output",
        "2,4",
        "--methods",
        "hybrid,llm",
        "--repeats",
        "1",
    )
    result = measure(*PAIR, "--engine", "torch", *arguments)
    assert result.exit_code == 0, result.output
    stored = load_grid("latest")
    assert (stored.grid.batches, stored.grid.methods) == ((1, 2), ("llm", "hybrid"))
    assert len({cell.key for cell in stored.cells}) == 2 * 2 * 2 * 2
    assert "16 of 16 cells" in result.stderr


def test_json_holds_raw_times_and_medians(measure: Callable[..., Result]) -> None:
    result = measure(*SMALL, "--json", "--no-store", "--methods", "llm")
    assert result.exit_code == 0, result.output
    written = json.loads(result.stdout)
    (cell,) = written["cells"]
    assert written["grid"]["weights"] == "random"
    assert cell["total_ms"] == pytest.approx(sum(cell["total_s"]) / 2 * 1e3)
    assert cell["ttft_ms"] < cell["total_ms"]
    assert cell["phases_ms"].keys() == cell["phases_s"].keys() >= {"encode", "prefill", "decode"}
    assert list_grids().grids == ()


def test_lossless_methods_say_that_they_are_at_their_worst(measure: Callable[..., Result]) -> None:
    result = measure(*SMALL, "--methods", "llm,lossless-lookup", "--no-store")
    assert result.exit_code == 0, result.output
    assert "Lossless methods are at their worst here" in result.stdout
    assert "verify" in result.stdout


def test_cells_that_another_engine_has_answered_are_told(
    measure: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = latency.measure_cells

    def marked(*arguments: Any) -> Iterator[Any]:
        for cells in stream(*arguments):
            yield tuple(replace(cell, options={"fallback": "it was too long"}) for cell in cells)

    monkeypatch.setattr(latency, "measure_cells", marked)
    output = measure(*SMALL, "--no-store").stdout
    assert output.count("Where torch could not, another engine has answered for it: it was too long.") == 1


@pytest.mark.parametrize("how", [KeyboardInterrupt(), RuntimeError("CUDA out of memory. Tried to allocate")])
def test_interrupted_grid_goes_on(
    measure: Callable[..., Result], refusal: Refusal, monkeypatch: pytest.MonkeyPatch, how: BaseException
) -> None:
    with monkeypatch.context() as patch:
        stop_after(1, how, patch)
        stopped = measure(*SMALL, "--batch", "1,2")
    grid_id = list_grids().grids[0].grid_id
    assert (
        f"3 of 6 cells of grid {grid_id} are stored; `hybrid latency --resume {grid_id}` goes on"
        in stopped.stderr
    )
    expected = "Interrupted." if isinstance(how, KeyboardInterrupt) else "The memory of cpu is full."
    assert f"error: {expected}" in refusal(stopped, 1)
    before = load_grid(grid_id).cells

    result = measure("--resume", "latest")
    assert result.exit_code == 0, result.output
    stored = load_grid(grid_id)
    assert stored.cells[:3] == before
    assert len(stored.cells) == 6
    assert result.stdout.count("baseline") == 2  # what was stored before is printed, too
    again = measure("--resume", grid_id, "--json")
    assert len(json.loads(again.stdout)["cells"]) == 6
    assert load_grid(grid_id) == stored


def test_what_fails_before_its_first_cell_leaves_nothing(
    measure: Callable[..., Result], refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(0, KeyboardInterrupt(), monkeypatch)
    assert refusal(measure(*SMALL), 1) == "error: Interrupted.\n"
    assert list_grids().grids == ()


def test_other_failures_are_not_hidden(
    measure: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(0, RuntimeError("a bug"), monkeypatch)
    assert isinstance(measure(*SMALL).exception, RuntimeError)


def test_time_limit_ends_after_a_size(measure: Callable[..., Result]) -> None:
    result = measure(*SMALL, "--batch", "1,2,3", "--time-limit", "0")
    assert result.exit_code == 0, result.output
    assert "The time is over" in result.stderr
    assert "3 of 9 cells" in result.stderr
    assert "goes on" in result.stderr
    assert result.stdout.count("baseline") == 1
    assert "The time is over" not in measure("--resume", "latest").stderr
    assert len(load_grid("latest").cells) == 9


def test_damage_is_told_on_resuming(measure: Callable[..., Result], tmp_path: Path) -> None:
    measure(*SMALL)
    path = tmp_path / "results" / "grids" / f"{list_grids().grids[0].grid_id}.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"{}\n", *lines[3:]]))
    result = measure("--resume", "latest")
    assert f"notice: {path}, line 3, is damaged" in result.stderr
    assert result.exit_code == 0
    assert len(load_grid("latest").cells) == 3  # measured anew


def test_auto_says_which_engine_it_is(
    measure: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "probed_engine", lambda *_: "transformers")
    result = measure(*PAIR, "--prompt", "8", "--output", "2", "--repeats", "1", "--methods", "slm")
    assert result.exit_code == 0, result.output
    assert "notice: The engine is transformers." in result.stderr
    stored = load_grid("latest").grid
    assert (stored.engine, stored.dtype) == ("transformers", "float32")
    assert "-transformers-" in stored.grid_id


def test_configs_of_ones_own_in_folders_of_one_name(
    measure: Callable[..., Result], tmp_path: Path, tiny_zoo: Path
) -> None:
    config = json.loads((tiny_zoo / "tiny" / "slm" / "config.json").read_text())
    paths = [tmp_path / name / "model" / "config.json" for name in ("llm", "slm")]
    for path, layers in zip(paths, (3, 1), strict=True):
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(config | {"num_layers": layers, "num_decoder_layers": layers}))
    arguments = ("--engine", "torch", "--prompt", "8", "--output", "2", "--repeats", "1")
    result = measure("--llm", str(paths[0]), "--slm", str(paths[1]), *arguments)
    assert result.exit_code == 0, result.output
    grid = load_grid("latest").grid
    (llm,), (slm,) = grid.llms, grid.slms
    assert llm != slm
    assert [grid.shapes[name]["encoder_layers"] for name in (llm, slm)] == [3, 1]
    assert all(name.startswith("model-") and name in result.stdout for name in (llm, slm))
    assert str(tmp_path) not in (tmp_path / "results" / "grids" / f"{grid.grid_id}.jsonl").read_text()


def test_shapes_are_listed(measure: Callable[..., Result]) -> None:
    result = measure("--shapes")
    assert result.exit_code == 0
    rows = {line.split()[0]: line.split() for line in result.stdout.splitlines()}
    assert rows["t5-large"][1:3] == ["738M", "1024"]
    assert rows["smollm2-135m"][1:8] == ["135M", "576", "1536", "gated-silu", "9/3", "×", "64"]
    assert {
        "flan-t5-xl",
        "mt5-base",
        "bart-large",
        "opus-mt-en-de",
        "smollm2-135m",
        "gpt2",
        "bundled-llm",
        "bundled-slm",
    } <= rows.keys()


def test_progress_is_drawn_seldom_where_no_terminal_is(
    measure: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = re.compile(r"^\d+/4 cells  bundled-llm, batch \d, prompt 8, output 2$", re.MULTILINE)
    arguments = (
        *PAIR,
        "--engine",
        "torch",
        "--prompt",
        "8",
        "--output",
        "2",
        "--repeats",
        "1",
        "--methods",
        "llm",
    )
    monkeypatch.setattr(console, "PLAIN_LINE_EVERY_S", 1e6)
    assert len(lines.findall(measure(*arguments, "--batch", "1,2,3,4").stderr)) == 2  # the first and the last
    monkeypatch.setattr(console, "PLAIN_LINE_EVERY_S", 0.0)
    assert len(lines.findall(measure(*arguments, "--batch", "1,2,3,4").stderr)) == 4


@pytest.mark.usefixtures("terminal")
def test_progress_is_a_bar_on_a_terminal(
    measure: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed_answers, threads = latency.undisturbed_answers, []

    def watched(*arguments: Any) -> Any:
        threads.append({*threading.enumerate()} - before)
        return undisturbed_answers(*arguments)

    monkeypatch.setattr(latency, "undisturbed_answers", watched)
    before = {*threading.enumerate()}
    result = measure(*SMALL, "--methods", "llm", "--no-store")
    assert result.exit_code == 0, result.output
    assert "━━━" in result.stderr
    assert re.search(r"1/1\s+bundled-llm, batch 1, prompt 8, output 4", result.stderr)
    assert threads == [set()] * 2  # nothing draws while an answer is measured
