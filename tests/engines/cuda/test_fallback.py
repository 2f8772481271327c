"""What the GPU engine cannot do goes to torch, or is refused, with the reason in a sentence."""

import random
from dataclasses import replace

import pytest
import torch

from hybrid.engines.contract import EngineConfig
from hybrid.engines.cuda import engine as cuda_engine
from hybrid.engines.cuda import models
from hybrid.engines.cuda.capture import GraphCapturer
from hybrid.engines.cuda.engine import create_engines, unavailable_reason
from hybrid.engines.cuda.kernel_selector import KernelSelector
from hybrid.engines.cuda.shared_state import LENGTHS
from hybrid.errors import EngineError
from hybrid.schema import CPU, Device, Sampling
from tests.bundle_source import BundleSource
from tests.loaded import ask, encoded, prompt_ids


@pytest.fixture(scope="module")
def mixed(texts) -> list[str]:
    """All prompts in random order: short beside long ones."""
    return random.Random(2).sample(texts, len(texts))


@pytest.mark.parametrize(
    ("size", "limit", "part"),
    [(33, 5, "33 prompts"), (1, 513, "up to 513 were requested"), (40, 600, "40 prompts")],
)
def test_sizes_beyond_what_is_captured_are_left_to_torch(
    tiny_bundle, graph_engine, engines, mixed, answers, size, limit, part
):
    sentences = []
    engine = graph_engine("slm", observer=lambda event: sentences.append(event.sentence))
    texts = mixed[:size]
    generations = answers(engine, texts, max_new_tokens=limit)
    expected = answers(engines["slm"], texts, max_new_tokens=limit)
    assert [generation.token_ids for generation in generations] == [
        generation.token_ids for generation in expected
    ]
    assert part in engine.options["fallback"]
    assert (
        engine.notices
        == sentences
        == [f"The torch engine answers in place of cuda-graph: {engine.options['fallback']}."]
    )
    steps = [step.phase for step in engine.generate(encoded(tiny_bundle, texts), Sampling(3))]
    assert steps[:2] == ["encode", "prefill"]
    answers(engine, mixed[:2])
    assert sentences[-1].startswith("Capturing the slm for 2 x")  # what fits is captured all the same


def test_prompts_longer_than_any_size_are_left_to_torch(graph_engine, tiny_bundle, reference):
    bundle = replace(tiny_bundle, manifest=tiny_bundle.manifest | {"max_prompt_tokens": 2000})
    engine = graph_engine("slm", bundle)
    text = "bridge " * 1030
    (generation,) = ask(engine, bundle, "summarize", [text], Sampling(5))
    assert generation.prompt_tokens > LENGTHS[-1]
    assert f"up to {generation.prompt_tokens} tokens" in engine.options["fallback"]
    prompt = prompt_ids(bundle, text)
    assert list(generation.token_ids) == reference(bundle.slm, [prompt], 5)[0]


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("out of memory. Tried to\nallocate"), RuntimeError("capture failed")]
)
def test_when_a_capture_fails_torch_answers_from_then_on(
    graph_engine, engines, mixed, answers, error, monkeypatch
):
    engine = graph_engine("hybrid", dtype="float32")
    answers(engine, mixed[:2])

    def fail(*_):
        raise error

    monkeypatch.setattr(GraphCapturer, "capture", fail)
    for part in (mixed[:3], mixed[:2], mixed[7:8]):
        generations, expected = answers(engine, part), answers(engines["hybrid"], part)
        assert [generation.token_ids for generation in generations] == [
            generation.token_ids for generation in expected
        ]
    (notice,) = engine.notices
    assert str(error).partition("\n")[0] in notice
    assert notice == f"The torch engine answers in place of cuda-graph: {engine.options['fallback']}."
    assert "kernels" not in engine.options
    assert engine._packed == {}  # its weights are gone
    assert len(engine._shared.requests) == 0


def test_what_is_said_of_a_model_is_said_of_all_who_use_it(tiny_bundle, mixed, answers, monkeypatch):
    def fail(*_):
        raise ValueError("no compiler")

    monkeypatch.setattr(cuda_engine, "unavailable_reason", lambda _: None)
    monkeypatch.setattr(KernelSelector, "_triton", fail)
    config = EngineConfig(BundleSource(tiny_bundle), ("slm", "lossless-slm"), options={"kernels": "triton"})
    engines = create_engines(config)
    answers(engines["slm"], mixed[:1])
    assert engines["slm"].notices == engines["lossless-slm"].notices
    (notice,) = engines["slm"].notices
    assert notice == "Decode steps run with torch kernels in place of triton: ValueError: no compiler."


def test_torch_stands_in_for_float16_with_bfloat16(graph_engine, mixed, answers):
    engine = graph_engine("slm", dtype="float16")
    answers(engine, mixed[:1], max_new_tokens=513, ignore_eos=True)
    assert engine._torch.dtype == "bfloat16"
    assert "bfloat16" in engine.options["fallback"]


def test_a_device_that_cannot_be_used_is_named_with_the_way_out():
    assert "--device cuda" in unavailable_reason(CPU)
    if torch.cuda.is_available():
        assert unavailable_reason(Device("cuda")) is None
        assert unavailable_reason(Device("cuda", 99)).startswith("There is no GPU 'cuda:99'; torch sees")
    else:
        for device in ("cuda", "cuda:1"):
            assert "--device cpu" in unavailable_reason(Device.parse(device))


@pytest.mark.parametrize(
    ("version", "count", "device", "part"),
    [
        (None, 0, "cuda", "built without CUDA"),
        ("13.0", 0, "cuda", "no GPU"),
        ("13.0", 2, "cuda:2", "the last is cuda:1"),
        ("13.0", 2, "cuda:1", None),
        ("13.0", 1, "cuda", None),
    ],
)
def test_devices_of_other_machines(monkeypatch, version, count, device, part):
    monkeypatch.setattr(torch.version, "cuda", version)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    reason = unavailable_reason(Device.parse(device))
    assert reason is None if part is None else part in reason


def test_make_refuses_what_it_cannot(tiny_bundle):
    source = BundleSource(tiny_bundle)
    with pytest.raises(EngineError, match="--device cuda"):
        create_engines(EngineConfig(source, ("llm",), CPU, "float32"))


def test_make_says_when_weights_do_not_fit(tiny_bundle, monkeypatch):
    def fail(*_):
        raise torch.OutOfMemoryError("no more")

    monkeypatch.setattr(cuda_engine, "unavailable_reason", lambda _: None)
    monkeypatch.setattr(models, "pack_decoder", fail)
    with pytest.raises(EngineError, match="do not fit into the memory of cpu in float32"):
        create_engines(EngineConfig(BundleSource(tiny_bundle), ("llm",), CPU, "float32"))
