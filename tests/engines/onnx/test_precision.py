"""What 8 bits change: logits and states by a few percent, and nothing that depends on other prompts.

Random weights amplify rounding; what it does to real ones is measured on the bundled pair.
"""

import numpy as np
import pytest

from hybrid.engines.graph_coverage import decoder_for, encoder_for
from hybrid.engines.onnx.decoder_graphs import cross_kv_graph, decoder_graph
from hybrid.engines.onnx.decoder_runtime import CrossingDecoder, CrossingSession
from hybrid.engines.onnx.encoder_graphs import encoder_graph, fusion_graph
from hybrid.engines.onnx.encoder_runtime import EncoderSession, FusionSession
from hybrid.engines.onnx.runtime import create_session
from hybrid.schema import MODELS
from tests.loaded import prompt_ids

EOS = 1


def prompts(bundle, texts):
    return [prompt_ids(bundle, text) for text in texts]


def off_by(approximate, expected):
    return np.linalg.norm(approximate - expected) / np.linalg.norm(expected)


def test_logits_equal_transformers_in_float32_and_nearly_in_8_bits(tiny_bundle, texts):
    import torch

    model = tiny_bundle.llm
    encoder = EncoderSession(encoder_graph(encoder_for("onnx", model), "float32"), 1)
    cross_kv = create_session(cross_kv_graph(decoder_for("onnx", model), "float32"), 1)
    exact, near = (
        CrossingDecoder(CrossingSession(cross_kv, decoder_graph(decoder_for("onnx", model), how), 1), EOS)
        for how in ("float32", "blocks")
    )
    answer = [0, 40, 77, 300, 5, 5, 9, 200]
    for ids in prompts(tiny_bundle, texts[::40]):
        with torch.no_grad():
            expected = model(input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([answer])).logits[
                0
            ]
        for decoder in (exact, near):
            decoder.prefill(encoder([ids]), len(answer))
        at_once = exact.run([answer], 0)[0].copy()
        np.testing.assert_allclose(at_once, expected, rtol=1e-3, atol=1e-3)
        one_by_one = [exact.run([[token]], place)[0, 0].copy() for place, token in enumerate(answer)]
        np.testing.assert_allclose(one_by_one, at_once, rtol=1e-3, atol=1e-3)
        assert 1e-4 < off_by(near.run([answer], 0)[0], at_once) < 0.1


def test_a_cache_goes_back_to_any_position(tiny_bundle, texts):
    encoder = EncoderSession(encoder_graph(encoder_for("onnx", tiny_bundle.slm), "float32"), 1)
    decoder = CrossingDecoder(
        CrossingSession(
            create_session(cross_kv_graph(decoder_for("onnx", tiny_bundle.slm), "float32"), 1),
            decoder_graph(decoder_for("onnx", tiny_bundle.slm), "float32"),
            1,
        ),
        EOS,
    )
    (ids,) = prompts(tiny_bundle, texts[90:91])
    decoder.prefill(encoder([ids]), 16)
    straight = decoder.run([[0, 7, 8, 9, 10]], 0)[0].copy()
    decoder.prefill(encoder([ids]), 16)
    decoder.run([[0, 7, 300, 301, 302, 303]], 0)
    np.testing.assert_allclose(decoder.run([[8, 9]], 2)[0], straight[2:4], rtol=1e-4, atol=1e-4)
    decoder.run([[200]], 4)
    np.testing.assert_allclose(decoder.run([[10]], 4)[0], straight[4:], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("part", "bound"), [("encoder", 0.25), ("fusion", 0.15), ("crossing", 0.03)])
def test_an_8_bit_encoder_is_near_the_exact_one(tiny_bundle, texts, part, bound):
    hybrid = tiny_bundle.hybrid
    llm = EncoderSession(encoder_graph(encoder_for("onnx", tiny_bundle.llm), "float32"), 1)
    kinds = ("float32", "rows")
    if part == "encoder":
        encoders = [
            EncoderSession(encoder_graph(encoder_for("onnx", tiny_bundle.llm), how), 1) for how in kinds
        ]
        runs = [lambda ids, session=session: session([ids]).hidden[0] for session in encoders]
    elif part == "fusion":
        fused = [
            FusionSession(
                fusion_graph(hybrid.projector, "add", encoder_for("onnx", hybrid.slm), True, how), 1
            )
            for how in kinds
        ]
        runs = [lambda ids, session=session: session(llm([ids])).hidden[0] for session in fused]
    else:
        step = decoder_graph(decoder_for("onnx", tiny_bundle.llm), "float32")
        sessions = [
            CrossingSession(
                create_session(cross_kv_graph(decoder_for("onnx", tiny_bundle.llm), how), 1), step, 1
            )
            for how in kinds
        ]
        runs = [
            lambda ids, session=session: session.cross_kv_cache(llm([ids]).hidden[0])[3]
            for session in sessions
        ]
    for ids in prompts(tiny_bundle, texts[::25]):
        exact, near = (run(ids).numpy() for run in runs)
        assert exact.shape == near.shape
        assert 1e-4 < off_by(near, exact) < bound


@pytest.mark.parametrize("int8_encoder", ["off", "on"])
def test_batches_give_what_singles_give_in_8_bits(tiny_bundle, make, texts, answer, answers, int8_encoder):
    engines = make(tiny_bundle, *MODELS, dtype="int8", options={"int8_encoder": int8_encoder})
    for engine in engines.values():
        some = texts[3::6]
        alone = [answer(engine, text).token_ids for text in some]
        assert [generation.token_ids for generation in answers(engine, some)] == alone


def test_8_bit_lossless_gives_the_ids_of_the_8_bit_llm(tiny_bundle, make, texts, answer):
    engines = make(tiny_bundle, "llm", "lossless", dtype="int8")
    for text in texts[::25]:
        assert answer(engines["lossless"], text).token_ids == answer(engines["llm"], text).token_ids
