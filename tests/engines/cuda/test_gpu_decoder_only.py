"""On a GPU: `pytest -m gpu -s tests/engines/cuda/test_gpu_decoder_only.py`; a decoder-only LLM and its bars.

Speed does not depend on the values of weights: the models are random, of SmolLM2-135M's
sizes, which reads with half of its layers for a T5 of 2 + 2 layers.
"""

import statistics
import time

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, T5Config, T5ForConditionalGeneration

from hybrid.engines.contract import EngineConfig
from hybrid.engines.cuda.drafting import DRAFTED, WIDTHS
from hybrid.engines.cuda.engine import CudaGraphEngine, create_engines
from hybrid.engines.cuda.kernel_selector import KERNELS
from hybrid.models.pair import Hybrid
from hybrid.schema import MODELS, Device, EncodedPrompt, Sampling
from tests.engines.any_pairs import AnyPair
from tests.engines.cuda.timing import best_kernel, captured, generated, milliseconds, show

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("default"), pytest.mark.timeout(300)]
SMOLLM2 = LlamaConfig(
    vocab_size=49_152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
    num_key_value_heads=3, max_position_embeddings=8192, rope_theta=100_000.0, tie_word_embeddings=True,
)  # fmt: skip
GPT2 = GPT2Config()
WRITER = T5Config(
    vocab_size=16_000, d_model=256, d_ff=1024, d_kv=64, num_heads=4, num_layers=2, num_decoder_layers=2,
    feed_forward_proj="gated-gelu", decoder_start_token_id=0,
)  # fmt: skip
REQUESTS = {"translation": (24, 24, 5.0), "summary": (200, 48, 3.0)}  # tokens in and out, and the bar
ROUNDS = 15


class SizedPair(AnyPair):
    """A pair of these sizes, in bfloat16 on the GPU; the hybrid reads with the LLM's own weights."""

    max_prompt_tokens = 512

    def __init__(self, llm, slm) -> None:
        torch.manual_seed(0)
        with torch.device("cuda"):
            reads = AutoModelForCausalLM.from_config(llm, dtype=torch.bfloat16).eval()
            writers = [T5ForConditionalGeneration(slm).bfloat16().eval() for _ in range(2)]
        self.hybrid = Hybrid.from_parts(
            reads, writers[0], layer=len(reads.get_decoder().layers) // 2, bridge=True
        )
        for part in (self.hybrid.projector, self.hybrid.bridge):
            part.to("cuda", torch.bfloat16)
        self.models = {"llm": reads, "slm": writers[1], "hybrid": self.hybrid.eval()}


@pytest.fixture(scope="module")
def pair() -> SizedPair:
    return SizedPair(SMOLLM2, WRITER)


def seconds(engine, tokens: int, new: int) -> tuple[float, dict[str, float]]:
    """Of a whole request of `new` ids, and of each of its phases."""
    prompt, phases = EncodedPrompt(tuple(range(3, 3 + tokens))), dict[str, float]()
    torch.cuda.synchronize()
    begin = last = time.perf_counter()
    for step in engine.generate([prompt], Sampling(new, ignore_eos=True)):
        torch.cuda.synchronize()
        now = time.perf_counter()
        phases[step.phase] = phases.get(step.phase, 0.0) + now - last
        last = now
    return last - begin, phases


def test_a_token_takes_an_eighth_of_generates(pair):
    """Of every kind of kernel, alone and in batches; the LLM's in the fastest at most 1/8 of generate()'s."""
    rows, shares = [], {}
    for method in ("llm", "hybrid"):
        model, ids = pair.model("llm"), torch.randint(3, 9_000, (1, 32), device="cuda")
        with torch.inference_mode():
            generate = generated(model, ids) if method == "llm" else float("nan")
        for kernel in KERNELS[KERNELS.index(best_kernel()) :]:
            config = EngineConfig(pair, (method,), Device("cuda"), "bfloat16", options={"kernels": kernel})
            engine = CudaGraphEngine(config, method)
            reading, token = captured(engine, 1, 32, 64)
            _, eight = captured(engine, 8, 128, 64)
            _, many = captured(engine, 32, 128, 64)
            figures = (f"{x:.3f}" for x in (generate, reading, token, eight, many))
            rows.append((method, kernel, engine.options["kernels"], *figures))
            shares[method, kernel] = token / generate
            assert engine.notices == []
    heads = (
        "method",
        "kernels",
        "in use",
        "generate()",
        "reading 32",
        "a token",
        "of 8 x 128",
        "of 32 x 128",
    )
    show("SmolLM2-135M, and T5 2 + 2 behind 15 of its layers: milliseconds, bfloat16", heads, rows)
    assert shares["llm", best_kernel()] <= 1 / 8


def test_whole_requests_of_the_hybrid_keep_to_their_bars(pair):
    engines = create_engines(
        EngineConfig(pair, MODELS, Device("cuda"), "bfloat16", options={"kernels": "auto"})
    )
    rows, ratios = [], {}
    for name, (tokens, new, _) in REQUESTS.items():
        timings = {
            method: [seconds(engine, tokens, new) for _ in range(ROUNDS + 2)][2:]
            for method, engine in engines.items()
        }
        middle = {method: statistics.median(whole for whole, _ in each) for method, each in timings.items()}
        ratios[name] = middle["llm"] / middle["hybrid"]
        for method, each in timings.items():
            phases = {phase: statistics.median(p[phase] for _, p in each) * 1e3 for phase in each[0][1]}
            listed = ", ".join(f"{phase} {ms:.2f}" for phase, ms in phases.items())
            rows.append(
                (
                    name,
                    method,
                    f"{middle[method] * 1e3:.2f}",
                    f"{middle['llm'] / middle[method]:.2f} x",
                    listed,
                )
            )
    show(
        "whole requests, batch 1: milliseconds", ("request", "method", "whole", "of the LLM", "phases"), rows
    )
    assert [engine.notices for engine in engines.values()] == [[], [], []]
    for name, (_, _, least) in REQUESTS.items():
        assert ratios[name] >= least


def test_what_drafts_and_the_passes_that_verify_them_cost(pair):
    """A table, without a bar: of the LLM, which here would draft for itself."""
    config = EngineConfig(pair, ("lossless-lookup",), Device("cuda"), "bfloat16", options={"kernels": "auto"})
    engine = CudaGraphEngine(config, "lossless-lookup")
    with torch.inference_mode():
        request = engine._captured([[7] * 32], 64)
        assert request is not None, engine.notices
        decoder = request.verifier(False)
        decoder.prefill(request.encoder("llm")([[7] * 32]), 64)
        passes = {n: milliseconds(lambda n=n: decoder.verify([7] * n, 1)) for n in WIDTHS}
        draft = milliseconds(lambda: decoder.draft(7, 1, DRAFTED))
    verified = [(f"{n} verified", f"{ms:.3f}") for n, ms in passes.items()]
    rows = [(f"{DRAFTED} drafted", f"{draft:.3f}"), *verified]
    show(f"SmolLM2-135M, {engine.options}: milliseconds, bfloat16", ("ids", "milliseconds"), rows)
    assert engine.notices == []


def test_gpt2_too_takes_an_eighth_of_generates():
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(GPT2, dtype=torch.bfloat16).eval()
    pair = AnyPair.__new__(AnyPair)
    pair.models = {"llm": model}
    engine = CudaGraphEngine(
        EngineConfig(pair, ("llm",), Device("cuda"), "bfloat16", options={"kernels": "auto"}), "llm"
    )
    with torch.inference_mode():
        generate = generated(model, torch.randint(3, 9_000, (1, 32), device="cuda"))
    _, token = captured(engine, 1, 32, 64)
    show(
        "GPT-2, 124M: milliseconds a token, bfloat16",
        ("generate()", "captured", "kernels"),
        [(f"{generate:.2f}", f"{token:.3f}", engine.options["kernels"])],
    )
    assert token <= generate / 8
    assert engine.notices == []
