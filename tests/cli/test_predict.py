"""`hybrid predict` and `hybrid device`, as a person uses them, with a profile that nobody measured."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result

from hybrid.errors import InputError
from hybrid.format import ratio
from hybrid.measuring.environment import environment
from hybrid.measuring.lock import measuring
from hybrid.models.known_shapes import find_shape
from hybrid.schema import CPU
from hybrid.sizing import Pair, Profile, Request, cost_per_million_tokens, load_profile, predict, save_profile
from hybrid.sizing import calibration as calibrating
from hybrid.store.grids import create_grid
from tests.models.two_tokenizers import save_any_pair
from tests.sizing.made_up import cells_of, grid_of, made_up_profile

Run = Callable[..., Result]
Failure = Callable[[Result], str]
NAMES = ("--llm", "t5-v1_1-base", "--slm", "t5-small")


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("HYBRID_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("HYBRID_RUNTIME", str(tmp_path / "tmp"))


@pytest.fixture
def sizes() -> Pair:
    return Pair(find_shape("t5-v1_1-base"), find_shape("t5-small"))


def own(**changes: object) -> Profile:
    """The made-up profile as one of this very machine."""
    return made_up_profile(environment=environment(CPU, ""), **changes)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_a_table_in_words_and_numbers(run: Run, sizes: Pair) -> None:
    save_profile(own())
    result = run("predict", *NAMES, "--prompt", "100", "--output", "20", "--batch", "2")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == (
        "Predicted, not measured: t5-v1_1-base (248M) and t5-small (61M), 2 prompts of 100 tokens, "
        "answered with 20 tokens each."
    )
    assert lines[1] == f"Profile made-up: torch on {own().environment.device_name}, float32, 1 thread."
    heading, *rows = lines[3:7]
    assert cells(heading)[:4] == ["≈ predicted", "tokenize ms", "encode ms", "project ms"]
    predictions = predict(sizes, Request(100, 20, 2), made_up_profile())
    for row, (method, prediction) in zip(rows, predictions.items(), strict=True):
        assert cells(row)[0] == method
        assert float(cells(row)[2].replace(",", "")) == pytest.approx(
            1e3 * prediction.phases["encode"], rel=0.01
        )
    assert cells(rows[0])[-2] == "baseline"
    assert cells(rows[2])[-2] == ratio(predictions["llm"].total_s / predictions["hybrid"].total_s)
    assert lines[8].startswith("With prompts of 100 tokens, the hybrid is ")
    assert lines[9].startswith("With answers of 20 tokens, it is ")
    assert lines[10] == (
        "There is no stored grid for this profile, so how far these predictions are off is not known; "
        "`hybrid latency` makes one."
    )


def test_json_has_the_same_and_says_that_it_is_predicted(run: Run, sizes: Pair) -> None:
    save_profile(made_up_profile())
    row = json.loads(run("predict", *NAMES, "--price-per-hour", "2.5", "--json").stdout)
    assert (row["predicted"], row["llm"], row["slm"]) == (True, "t5-v1_1-base", "t5-small")
    assert row["request"] == {"prompt": 128, "output": 64, "batch": 1}
    assert row["error"] is None
    for method, prediction in predict(sizes, Request(128, 64), made_up_profile()).items():
        written = row["methods"][method]
        assert written["total_ms"] == pytest.approx(1e3 * prediction.total_s)
        assert written["phases_ms"] == pytest.approx(
            {phase: 1e3 * s for phase, s in prediction.phases.items()}
        )
        cost = cost_per_million_tokens(prediction.total_s, Request(128, 64), 2.5)
        assert written["cost_per_million_output_tokens"] == pytest.approx(cost)
    assert row["methods"]["llm"]["weights_bytes"] == 4 * sizes.llm.parameters


@pytest.mark.parametrize(("read", "says", "layers"), [
    ("20", "layer 20 of 30", [20]), ("10+20", "layers 10 and 20 of 30", [10, 20]),
])  # fmt: skip
def test_what_the_hybrid_reads_is_said(run: Run, read: str, says: str, layers: list[int]) -> None:
    save_profile(own())
    names = ("--llm", f"smollm2-135m@{read}", "--slm", "t5-small")
    lines = run("predict", *names).stdout.splitlines()
    assert lines[0].startswith(f"Predicted, not measured: smollm2-135m@{read} (135M) and t5-small")
    assert lines[1] == f"The hybrid reads {says} of the LLM."
    row = json.loads(run("predict", *names, "--json").stdout)
    assert row["llm_layers_read"] == layers
    whole = json.loads(run("predict", "--llm", "smollm2-135m", "--slm", "t5-small", "--json").stdout)
    assert whole["llm_layers_read"] is None
    part, all_layers = (r["methods"]["hybrid"]["phases_ms"]["encode"] for r in (row, whole))
    assert 0.6 < part / all_layers < 0.7
    assert row["methods"]["llm"] == whole["methods"]["llm"]


def test_a_pair_is_predicted_by_what_its_hybrid_reads(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "zoo").mkdir()
    save_any_pair(tmp_path / "zoo" / "own", "llama", "gpt2", layer=1)
    monkeypatch.setenv("HYBRID_ZOO", str(tmp_path / "zoo"))
    save_profile(own())
    lines = run("predict", "--llm", "bundled-llm", "--slm", "bundled-slm", "--prompt", "8", "--output", "4")
    assert lines.stdout.splitlines()[1] == "The hybrid reads layer 1 of 2 of the LLM."


def test_a_layer_that_is_not_there_is_a_sentence(run: Run, failure: Failure) -> None:
    save_profile(own())
    sentence = failure(run("predict", "--llm", "smollm2-135m@31", "--slm", "t5-small"))
    assert "give blocks from 1 to 30" in sentence


def test_cost_is_a_column_only_with_a_price(run: Run) -> None:
    save_profile(made_up_profile())
    assert "cost" not in run("predict", *NAMES).stdout
    assert "cost of 1M tokens" in run("predict", *NAMES, "--price-per-hour", "3").stdout


def test_the_error_on_a_grid_of_the_same_machine_is_said(run: Run, sizes: Pair) -> None:
    profile = own()
    save_profile(profile)
    grid = grid_of(sizes, profile)
    with create_grid(grid) as writer:  # all cells took a quarter longer than is predicted
        slower = {(m, b): 1.25 for m in ("llm", "slm", "hybrid") for b in (1, 8)}
        writer.append(cells_of(sizes, profile, slower))
    line = run("predict", *NAMES).stdout.splitlines()[-1]
    assert line == (
        f"Error of such predictions on grid {grid.grid_id}, measured with this engine on such a device: "
        "end to end 20 % and 20 % (12 cells); encode 20 % and 20 %, project 20 % and 20 %, "
        "prefill 20 % and 20 %, decode 20 % and 20 %. Median and 90th percentile, either way."
    )
    row = json.loads(run("predict", *NAMES, "--json").stdout)
    assert row["error"]["total"] == pytest.approx({"median": 0.2, "p90": 0.2, "n": 12}, abs=1e-3)


def test_a_profile_of_another_machine_promises_nothing(run: Run, sizes: Pair) -> None:
    elsewhere = replace(own().environment.hardware, model="of another generation")
    profile = own(name="namesake")
    profile = replace(profile, environment=replace(profile.environment, hardware=elsewhere))
    save_profile(profile)
    with create_grid(grid_of(sizes, profile)) as writer:
        writer.append(cells_of(sizes, profile, {}))
    lines = run("predict", *NAMES).stdout.splitlines()
    assert lines[1].startswith("Profile namesake (profile of another machine): torch on ")
    assert lines[-1].startswith("This is a profile of another machine: ")
    assert "`hybrid device` measures a profile of this machine" in lines[-1]
    assert "Error of such predictions" not in "".join(lines)
    row = json.loads(run("predict", *NAMES, "--json").stdout)
    assert (row["own_machine"], row["error"], row["extrapolated"]) == (False, None, None)
    assert row["not_own"] == lines[-1]
    save_profile(own(created_at="2026-01-01T00:00:00+00:00"))  # its own goes before, though it is older
    assert json.loads(run("predict", *NAMES, "--json").stdout)["own_machine"] is True


def test_what_is_extrapolated_promises_nothing(run: Run, sizes: Pair) -> None:
    save_profile(own())
    with create_grid(grid_of(sizes, own())) as writer:
        writer.append(cells_of(sizes, own(), {}))
    lines = run("predict", *NAMES, "--prompt", "8192").stdout.splitlines()
    assert lines[0].startswith("Extrapolated, not measured: ")
    assert cells(lines[3])[0] == "≈ extrapolated"
    assert lines[-1].startswith("Extrapolated: the profile was measured with prompts of 32 to 512 tokens")
    assert "Error of such predictions" not in "".join(lines)
    row = json.loads(run("predict", *NAMES, "--prompt", "8192", "--json").stdout)
    assert (row["extrapolated"], row["error"], row["own_machine"]) == (lines[-1], None, True)


def test_a_damaged_profile_is_named_and_passed_over(run: Run, tmp_path: Path) -> None:
    save_profile(own())
    save_profile(own(name="zero", tokenize=(0.0,)))
    result = run("predict", *NAMES)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].startswith("Profile made-up: ")
    assert "zero.json cannot be read: tokenize has 1 numbers" in result.stderr


def test_an_engine_without_hybrids(run: Run) -> None:
    save_profile(made_up_profile(engine="ctranslate2"))
    assert "The engine ctranslate2 does not run hybrids" in run("predict", *NAMES).stdout


def test_decoder_only_models_take_their_prompts_in_prefill(run: Run) -> None:
    save_profile(made_up_profile())
    pair = Pair(find_shape("smollm2-1.7b"), find_shape("gpt2"))
    result = run("predict", "--llm", pair.llm.name, "--slm", pair.slm.name, "--prompt", "200")
    assert result.exit_code == 0, result.output
    times = predict(pair, Request(200, 64), made_up_profile())
    assert list(times["llm"].phases) == ["tokenize", "prefill", "decode", "detokenize"]
    assert list(times["hybrid"].phases) == [
        "tokenize",
        "encode",
        "project",
        "prefill",
        "decode",
        "detokenize",
    ]
    assert times["hybrid"].phases["encode"] < times["llm"].phases["prefill"]  # which has the head as well
    assert times["hybrid"].total_s < times["llm"].total_s
    with pytest.raises(InputError, match="gpt2 has positions for 1024 tokens and 1100 are asked for"):
        predict(pair, Request(1000, 100), made_up_profile())


def test_unknown_names_say_what_there_is(run: Run, failure: Failure) -> None:
    assert "`hybrid device` measures one" in failure(run("predict", *NAMES))
    save_profile(made_up_profile())
    assert "available: made-up" in failure(run("predict", *NAMES, "--profile", "other"))
    error = failure(run("predict", "--llm", "t5-larg", "--slm", "t5-small"))
    assert "There is no shape 't5-larg'. Did you mean t5-large" in error
    save_profile(made_up_profile(engine="onnx"))
    assert "the engine onnx does not run" in failure(
        run("predict", "--llm", "bart-base", "--slm", "t5-small")
    )
    save_profile(made_up_profile())
    error = failure(run("predict", "--llm", "bart-base", "--slm", "t5-small", "--prompt", "2000"))
    assert "bart-base has positions for 1024 tokens and 2000 are asked for" in error


def test_device_measures_stores_and_reports(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = []

    def measured(name: str, engine: str, order: dict[str, object], say: Callable[[str], None]):
        orders.append((engine, order))
        return replace(made_up_profile(), name=name, engine=engine)

    monkeypatch.setattr(calibrating, "measured_profile", measured)
    result = run("device", "--engine", "torch", "--name", "mine")
    assert result.exit_code == 0, result.output
    assert orders == [("torch", {"device": "cpu", "dtype": "float32", "threads": 1, "options": {}})]
    assert load_profile("mine").engine == "torch"
    lines = result.stdout.splitlines()
    assert lines[0] == (
        "mine: torch on A CPU, float32; 10 small models in 21 s, which the costs below fit with a median "
        "error of 5 %."
    )
    assert lines[1] == "memory: 40.0 GB/s (float32 products of one row)"
    assert lines[3] == "arithmetic by rows: 1 10 GFLOP/s, 512 70 GFLOP/s"
    # 4 bytes in 0.2 ns; 2 x 32 operations in 3.2 ns
    assert lines[4] == "a decode step of 1 answer: 20 us, 5 us a layer, weights at 20.0 GB/s"
    assert lines[6] == "reading 1 prompt of 32 tokens: 100 us, 10 us a layer, matrices at 20 GFLOP/s"
    assert result.stderr.startswith("notice: Stored as ")


def test_what_weights_did_not_tell_leaves_no_comma_behind(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def untold(name: str, *_: object):
        profile = replace(made_up_profile(), name=name)
        costs = ({**costs.seconds, "weights": 0.0} for costs in profile.encode)
        encode = tuple(replace(old, seconds=new) for old, new in zip(profile.encode, costs, strict=True))
        return replace(profile, encode=encode)

    monkeypatch.setattr(calibrating, "measured_profile", untold)
    lines = run("device", "--engine", "torch", "--name", "mine").stdout.splitlines()
    assert lines[6] == "reading 1 prompt of 32 tokens: 100 us, 10 us a layer"


def test_device_names_profiles_by_itself_and_refuses_what_is_no_name(
    run: Run, failure: Failure, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "cannot name a profile" in failure(run("device", "--engine", "torch", "--name", "a/b"))
    monkeypatch.setattr(
        calibrating, "measured_profile", lambda name, *_: replace(made_up_profile(), name=name)
    )
    row = json.loads(run("device", "--engine", "torch", "--threads", "2", "--json").stdout)
    assert row["name"].endswith("-torch-float32-2-threads")
    assert load_profile().name == row["name"]


def test_device_waits_for_nobody_unless_told(run: Run, failure: Failure) -> None:
    with measuring("another", "latency"):
        assert "Another measurement is running" in failure(run("device", "--engine", "torch"))
