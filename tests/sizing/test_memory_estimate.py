"""Memory and money."""

from dataclasses import replace

import pytest

from hybrid.models.arithmetic import cache_bytes, parameters
from hybrid.sizing import Pair, Request, cost_per_million_tokens, memory_estimate, predicted

ASKED = Request(prompt=100, output=20, batch=4)


@pytest.mark.parametrize(("dtype", "each"), [("float32", 4), ("bfloat16", 2)])
@pytest.mark.parametrize("method", ["llm", "slm", "hybrid"])
def test_weights_and_caches(pair: Pair, made_up, method, dtype: str, each: int) -> None:
    estimate = memory_estimate(method, pair, ASKED, made_up(dtype=dtype))
    assert estimate.weights == each * parameters(method, pair.llm, pair.slm)
    writer = pair.llm if method == "llm" else pair.slm
    assert estimate.caches == cache_bytes(writer, 100, 20, 4, dtype)
    assert estimate.total == estimate.weights + estimate.caches


def test_a_hybrid_does_without_the_decoder_of_its_llm(pair: Pair, made_up) -> None:
    llm, slm, hybrid = (
        memory_estimate(method, pair, ASKED, made_up()).weights for method in ("llm", "slm", "hybrid")
    )
    projector = 4 * (512 * 128 + 128 * 128 + 2 * 128)
    assert hybrid == llm - 4 * pair.llm.decoder_parameters + slm + projector


def test_a_hybrid_does_without_the_layers_behind_those_that_it_reads(pair: Pair, made_up) -> None:
    whole, half, both = (
        memory_estimate("hybrid", replace(pair, llm=replace(pair.llm, read_layers=layers)), ASKED, made_up())
        for layers in ((), (3,), (2, 3))
    )
    part = replace(pair.llm, encoder_layers=3)
    norm = pair.llm.d_model
    assert whole.weights - half.weights == 4 * (pair.llm.encoder_parameters - part.encoder_parameters + norm)
    assert both.weights - half.weights == 4 * pair.llm.d_model * pair.slm.d_model
    assert whole.caches == half.caches == both.caches


def test_what_8_bit_engines_hold_in_8_bits(pair: Pair, made_up) -> None:
    shape = pair.llm
    for engine, options, reading in (
        ("onnx", {}, 1), ("onnx", {"int8_encoder": "off"}, 4), ("ctranslate2", {}, 1),
        ("transformers-int8", {}, 4),
    ):  # fmt: skip
        estimate = memory_estimate("llm", pair, ASKED, made_up(engine=engine, dtype="int8", options=options))
        assert estimate.weights == reading * shape.encoder_parameters + shape.decoder_parameters


def test_cost_of_output_tokens(pair: Pair, made_up) -> None:
    prediction = predicted("slm", pair, ASKED, made_up())
    tokens_an_hour = 80 / prediction.total_s * 3600
    price = cost_per_million_tokens(prediction.total_s, ASKED, 3.0)
    assert price == pytest.approx(3.0 / tokens_an_hour * 1e6)
    assert cost_per_million_tokens(prediction.total_s, ASKED, 0.0) == 0.0
    longer = replace(ASKED, output=200)
    assert cost_per_million_tokens(predicted("slm", pair, longer, made_up()).total_s, longer, 3.0) < (
        cost_per_million_tokens(prediction.total_s, ASKED, 3.0)
    )
