"""One request by phase, followed by hand through costs that are round numbers."""

import subprocess
import sys
from dataclasses import replace

import pytest

from hybrid.errors import InputError
from hybrid.models.arithmetic import (
    cross_products,
    encoder_products,
    head_products,
    layer_products,
    projector_products,
)
from hybrid.schema import MODELS
from hybrid.sizing import Pair, Request, predict, predicted

US = 1e-6
ASKED = Request(prompt=32, output=11)


def encoding(shape) -> float:
    return 100 * US + 10 * US * shape.encoder_layers + 32e-10 * encoder_products(shape).weights


def step(shape, past: float) -> float:
    weights = (layer_products(shape) + head_products(shape)).weights
    return 20 * US + (5 * US + 1e-8 * past) * shape.decoder_layers + 2e-10 * weights


def test_one_model_alone(pair: Pair, made_up) -> None:
    for method, shape in (("llm", pair.llm), ("slm", pair.slm)):
        prediction = predicted(method, pair, ASKED, made_up())
        assert list(prediction.phases) == ["tokenize", "encode", "prefill", "decode", "detokenize"]
        assert prediction.phases == pytest.approx({
            "tokenize": 10 * US + 2 * US + 32 * US,
            "encode": encoding(shape),
            "prefill": 5 * US + 1e-9 * cross_products(shape).weights + step(shape, 33),
            "decode": 10 * step(shape, 32 + 1 + 5.5),
            "detokenize": 5 * US + 1 * US + 5.5 * US,
        })  # fmt: skip
        assert prediction.total_s == pytest.approx(sum(prediction.phases.values()))
        before_first = sum(prediction.phases[phase] for phase in ("tokenize", "encode", "prefill"))
        assert prediction.ttft_s == pytest.approx(before_first)
        assert prediction.tpot_s == pytest.approx(step(shape, 38.5))


def test_a_hybrid_reads_as_both_and_writes_as_the_slm(pair: Pair, made_up) -> None:
    predictions = predict(pair, ASKED, made_up())
    assert tuple(predictions) == MODELS
    hybrid, llm, slm = predictions["hybrid"].phases, predictions["llm"].phases, predictions["slm"].phases
    projector = 0.4 * 10 * US + 32e-10 * projector_products(pair.llm, pair.slm).weights
    assert list(hybrid) == ["tokenize", "encode", "project", "prefill", "decode", "detokenize"]
    assert hybrid["encode"] == llm["encode"]
    assert hybrid["project"] == pytest.approx(projector + slm["encode"])
    assert (hybrid["prefill"], hybrid["decode"]) == (slm["prefill"], slm["decode"])
    assert predictions["hybrid"].ttft_s == pytest.approx(
        predictions["hybrid"].total_s - hybrid["decode"] - hybrid["detokenize"]
    )


def test_a_hybrid_takes_as_long_as_the_layers_that_it_reads(pair: Pair, made_up) -> None:
    whole = predict(pair, ASKED, made_up())
    half, both = (replace(pair.llm, read_layers=layers) for layers in ((3,), (2, 3)))
    for llm in (half, both):
        read = predict(replace(pair, llm=llm), ASKED, made_up())
        assert (read["llm"], read["slm"]) == (whole["llm"], whole["slm"])
        assert read["hybrid"].phases["encode"] == pytest.approx(encoding(replace(pair.llm, encoder_layers=3)))
        wider = (len(llm.read_layers) - 1) * pair.llm.d_model * pair.slm.d_model
        assert read["hybrid"].phases["project"] - whole["hybrid"].phases["project"] == pytest.approx(
            32e-10 * wider
        )
        assert read["hybrid"].total_s < whole["hybrid"].total_s


def test_steps_of_a_long_answer_sum_to_its_decoding(pair: Pair, made_up) -> None:
    one_by_one = sum(step(pair.llm, 32 + 1 + t) for t in range(1, 300))
    prediction = predicted("llm", pair, replace(ASKED, output=300), made_up())
    assert prediction.phases["decode"] == pytest.approx(one_by_one)


def test_a_single_token(pair: Pair, made_up) -> None:
    prediction = predicted("slm", pair, replace(ASKED, output=1), made_up())
    assert (prediction.phases["decode"], prediction.tpot_s) == (0.0, None)


def test_a_batch_takes_longer_than_one_and_less_than_so_many(pair: Pair, made_up) -> None:
    single, eight = (predicted("llm", pair, replace(ASKED, batch=b), made_up()).total_s for b in (1, 8))
    assert single < eight < 8 * single


@pytest.mark.parametrize("sizes", [{"prompt": 0}, {"output": 0}, {"batch": -1}])
def test_sizes_that_are_none(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        replace(ASKED, **sizes)


def test_positions_that_a_model_does_not_have(pair: Pair, made_up) -> None:
    short = replace(pair, slm=replace(pair.slm, positions=40))
    assert predict(short, replace(ASKED, output=40), made_up())
    for request in (replace(ASKED, output=41), replace(ASKED, prompt=41)):
        with pytest.raises(InputError, match=r"small has positions for 40 tokens and 41 are asked for\."):
            predict(short, request, made_up())


def test_nothing_of_it_imports_torch() -> None:
    code = "import hybrid.sizing, hybrid.cli.predict_report, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
