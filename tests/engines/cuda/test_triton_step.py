"""Triton's kernels compute what PyTorch does, on a GPU (`-m gpu`) or, with TRITON_INTERPRET=1, in numpy."""

import copy
import os

import pytest
import torch

pytest.importorskip("triton")
if torch.cuda.is_available():
    pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("default")]
elif os.environ.get("TRITON_INTERPRET") != "1":  # Triton reads it when it is first imported
    pytest.skip("no GPU, and TRITON_INTERPRET is not 1", allow_module_level=True)

from hybrid.engines.cuda import triton_step
from hybrid.engines.cuda.buffers import DecodeBuffers, PromptBuffers
from hybrid.engines.cuda.capture import GraphCapturer
from hybrid.engines.cuda.eager_decoder import EagerDecoder, EagerDecodeStep
from hybrid.engines.cuda.graphs import EncoderGraph
from hybrid.engines.cuda.kernel_selector import KernelSelector, example_rows
from hybrid.engines.cuda.products import fuse_products
from hybrid.engines.cuda.triton_step import TritonDecodeStep, TritonLayers
from hybrid.engines.cuda.weights import Target, pack_decoder, pack_encoder
from hybrid.models.architectures import decoder_of, reader_of
from tests.models.tiny import tiny_model

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
STEPS = 4


@pytest.fixture(autouse=True)
def _few_programs(monkeypatch):
    """The interpreter takes 10 ms a program; small blocks of keys so that there are several."""
    monkeypatch.setattr(triton_step, "PROGRAMS", 4)
    monkeypatch.setattr(triton_step, "KEYS", 256)


@pytest.fixture(scope="module")
def models(tiny_bundle) -> dict:
    """One of each kind: gated GELU and ReLU, one with heads of 12 that do not add up to its width."""
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(3)
    config = T5Config(
        vocab_size=90, d_model=40, d_ff=56, d_kv=12, num_heads=2, num_layers=1, num_decoder_layers=2,
        feed_forward_proj="relu", decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    relu = T5ForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, weight in relu.named_parameters():
            weight.uniform_(0.5, 1.5) if weight.ndim == 1 else weight.normal_(
                std=1.0 if "bias" in name else 0.2
            )
    alone = {family: tiny_model(family, 40, layers=2) for family in ("llama", "gpt2", "qwen2")}
    return {"gated": tiny_bundle.slm, "relu": relu, **alone}


def run(weights, batch: int, make, steps: int = STEPS, length: int = 64):
    """Logits of `steps` steps of a step that `make` makes, and the buffers, for made-up prompts."""
    with torch.inference_mode():
        buffers = DecodeBuffers(weights, PromptBuffers(batch, length, DEVICE), 64)
        step = make(weights, buffers)
        generator = torch.Generator().manual_seed(batch)
        prompts = buffers.self_kv_cache if weights.cross_kv is None else buffers.cross_kv_cache
        prompts.copy_(torch.randn(prompts.shape, generator=generator))
        buffers.lengths.copy_(torch.randint(1, length + 1, (batch,), generator=generator))
        buffers.restart()
        logits = []
        for index in range(steps):
            step()
            logits.append(buffers.logits.clone())
            buffers.put_inputs(torch.arange(batch, device=DEVICE) + index)  # whatever was chosen
    return torch.stack(logits), buffers


def triton(worth: int):
    return lambda weights, buffers: TritonDecodeStep(
        weights, buffers, fuse_products(weights, worth), early=False
    )


@pytest.mark.parametrize("kind", ["gated", "relu"])
@pytest.mark.parametrize(("batch", "worth"), [(1, 0), (1, 2**14), (1, 2**30), (3, 0), (17, 2**30)])
def test_steps_equal_eager_ones(models, kind, batch, worth):
    weights = pack_decoder(decoder_of(models[kind]), Target(DEVICE, torch.float32), 96)
    steps = STEPS if batch < 16 else 2
    (expected, eager), (logits, fused) = (
        run(weights, batch, make, steps) for make in (EagerDecodeStep, triton(worth))
    )
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fused.self_kv_cache, eager.self_kv_cache, rtol=1e-4, atol=1e-4)
    assert torch.equal(fused.ids[:steps], eager.ids[:steps])
    assert torch.equal(fused.positions, eager.positions)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2"])
@pytest.mark.parametrize("batch", [1, 3])
def test_steps_of_decoder_only_models_equal_eager_ones(models, kind, batch):
    """Shared keys, rotary and learned positions, LayerNorm, biases, both activations."""
    weights = pack_decoder(decoder_of(models[kind]), Target(DEVICE, torch.float32), 160)
    (expected, eager), (logits, fused) = (
        run(weights, batch, make, steps=3) for make in (EagerDecodeStep, triton(0))
    )
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fused.self_kv_cache, eager.self_kv_cache, rtol=1e-4, atol=1e-4)
    assert torch.equal(fused.ids[:3], eager.ids[:3])
    assert torch.equal(fused.positions, eager.positions)
    torch.testing.assert_close(fused.inputs, eager.inputs)


def noisy_buffers(weights, batch: int, length: int, seed: int = 0) -> DecodeBuffers:
    """Buffers whose caches hold noise, for prompts of several lengths."""
    buffers = DecodeBuffers(weights, PromptBuffers(batch, length, DEVICE), 64)
    generator = torch.Generator().manual_seed(seed)
    for cache in (buffers.self_kv_cache, buffers.cross_kv_cache):
        cache.copy_(torch.randn(cache.shape, generator=generator))
    buffers.lengths.copy_(torch.randint(1, length + 1, (batch,), generator=generator))
    buffers.restart()
    return buffers


@pytest.mark.parametrize(("kind", "batch", "tokens"), [("llama", 1, 5), ("gpt2", 2, 3), ("gated", 1, 4)])
def test_passes_over_several_ids_equal_eager_ones(models, kind, batch, tokens):
    """As drafts are verified: behind what the caches hold, none looking at those behind it."""
    weights = pack_decoder(decoder_of(models[kind]), Target(DEVICE, torch.float32), 160)
    with torch.inference_mode():
        eager, fused = (noisy_buffers(weights, batch, 32) for _ in range(2))
        rows = example_rows(weights, batch * tokens)
        first = torch.full((batch,), 6, device=DEVICE)
        places = (first + eager.offsets)[:, None] + torch.arange(tokens, device=DEVICE)
        expected = EagerDecoder(weights, eager).extend(rows.clone(), places)
        caches = fused.caches_at(first, fused.offsets)
        torch.testing.assert_close(
            TritonLayers(weights, caches, len(rows), early=False)(rows), expected, rtol=1e-4, atol=1e-4
        )
        torch.testing.assert_close(fused.self_kv_cache, eager.self_kv_cache, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kind", "batch", "length"), [("llama", 3, 32), ("gpt2", 1, 32)])
def test_prompts_are_read_as_eagerly(models, kind, batch, length, monkeypatch):
    """More rows than one program takes: a decoder-only model's prompts, and a reader's."""
    monkeypatch.setattr(triton_step, "MOST_ROWS", 8)
    weights = pack_decoder(decoder_of(models[kind]), Target(DEVICE, torch.float32), 160)
    with torch.inference_mode():
        eager, fused = (noisy_buffers(weights, batch, length) for _ in range(2))
        rows = example_rows(weights, batch * length)
        expected = EagerDecoder(weights, eager).read(rows.clone())
        start = torch.zeros_like(fused.positions)
        layers = TritonLayers(weights, fused.caches_at(start, start), len(rows), early=False)
        torch.testing.assert_close(layers(rows), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(fused.self_kv_cache, eager.self_kv_cache, rtol=1e-4, atol=1e-4)


def test_a_reader_takes_kernels_that_agree_and_no_others(models, monkeypatch):
    weights = pack_encoder(reader_of(models["llama"], 1), Target(DEVICE, torch.float32), 32)
    decoder, heard = pack_decoder(decoder_of(models["llama"]), Target(DEVICE, torch.float32), 96), []

    def read(kernel: str) -> tuple[torch.Tensor, bool]:
        selector = KernelSelector(decoder, heard.append, kernel)
        graph = EncoderGraph(weights, PromptBuffers(2, 32, DEVICE), GraphCapturer(DEVICE), selector)
        return graph([[5, 9, 7], [3] * 32]), graph._layers == graph._encoder.read

    with torch.inference_mode():
        expected, eager = read("torch")
        assert eager
        states, eager = read("triton")
        assert (eager, heard) == (False, [])
        torch.testing.assert_close(states, expected, rtol=1e-4, atol=1e-4)
        monkeypatch.setattr(TritonLayers, "__call__", lambda _, rows: torch.zeros_like(rows))
        states, eager = read("triton")
        assert (eager, len(heard)) == (True, 1)
        torch.testing.assert_close(states, expected)


def test_inputs_too_wide_for_one_program_are_read_in_parts(models, monkeypatch):
    monkeypatch.setattr(triton_step, "TILE", 16)
    weights = pack_decoder(decoder_of(models["relu"]), Target(DEVICE, torch.float32), 96)
    expected, logits = (run(weights, 1, make, steps=2)[0] for make in (EagerDecodeStep, triton(0)))
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


def test_the_parts_that_were_fused_are_those_that_the_test_above_means(models):
    weights = pack_decoder(decoder_of(models["gated"]), Target(DEVICE, torch.float32), 96)
    for worth, expected in ((0, (False, False)), (2**12, (True, False)), (2**30, (True, True))):
        first = fuse_products(weights, worth)[0]
        assert (first.query is not None, first.into is not None) == expected


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("batch", [1, 3])
def test_16_bits_round_no_more_than_eager_steps(models, dtype, batch):
    if DEVICE.type == "cpu" and (batch, dtype) == (3, torch.bfloat16):
        pytest.skip("Triton's interpreter multiplies matrices of bfloat16 as if they were integers")
    model = models["gated"]
    exact, _ = run(pack_decoder(decoder_of(model), Target(DEVICE, torch.float32), 96), batch, EagerDecodeStep)
    weights = pack_decoder(decoder_of(model), Target(DEVICE, dtype), 96)
    errors = [
        float((run(weights, batch, make)[0] - exact).norm() / exact.norm())
        for make in (EagerDecodeStep, triton(2**30))
    ]
    assert errors[0] > 0
    assert errors[1] < 1.5 * errors[0]


@pytest.mark.parametrize("batch", [1, 3])
def test_float16_holds_hidden_values_and_sums_beyond_its_largest_number(models, batch):
    model = copy.deepcopy(models["gated"])
    with torch.no_grad():
        for block in model.decoder.block:
            block.layer[2].DenseReluDense.wi_1.weight.mul_(20000)
    exact, _ = run(
        pack_decoder(decoder_of(model), Target(DEVICE, torch.float32), 96), batch, EagerDecodeStep, steps=2
    )
    weights = pack_decoder(decoder_of(model), Target(DEVICE, torch.float16), 96)
    logits, buffers = run(weights, batch, triton(2**30), steps=2)
    assert logits.isfinite().all()
    assert buffers.self_kv_cache.isfinite().all()
    assert (logits - exact).norm() / exact.norm() < 0.05


def test_the_first_of_equal_logits_is_chosen_and_becomes_the_next_input(models):
    weights = pack_decoder(decoder_of(models["relu"]), Target(DEVICE, torch.float32), 96)
    with torch.inference_mode():
        buffers = DecodeBuffers(weights, PromptBuffers(3, 32, DEVICE), 64)
        step = TritonDecodeStep(weights, buffers, fuse_products(weights), early=False)
        buffers.logits.fill_(-5.0)
        for row, column in ((0, 7), (0, 50), (1, 89), (2, 0), (2, 1), (2, 89)):
            buffers.logits[row, column] = 2.0
        buffers.positions.fill_(5)
        step._select()
    assert buffers.ids[5].tolist() == buffers.logits.argmax(1).tolist() == [7, 89, 0]
    assert buffers.positions.tolist() == [6, 6, 6]
    assert torch.equal(buffers.inputs, weights.embeddings[torch.tensor([7, 89, 0])])


def test_an_engine_finds_that_the_kernels_agree(models):
    weights = pack_decoder(decoder_of(models["relu"]), Target(DEVICE, torch.float32), 96)
    with torch.inference_mode():
        heard: list[str] = []
        steps = KernelSelector(weights, heard.append, "triton")
        step = steps.first(DecodeBuffers(weights, PromptBuffers(2, 32, DEVICE), 64))
    assert isinstance(step, TritonDecodeStep)
    assert (steps.kernel, heard) == ("triton", [])
