"""The torch engine gives transformers' greedy ids, as Steps in a fixed order, and keeps to its limits."""

import copy
from dataclasses import replace

import pytest
import torch

from hybrid.engines.torch import decoder
from hybrid.engines.torch.engine import TorchEngine
from hybrid.errors import EngineError
from hybrid.schema import SYSTEMS, TASKS, Device, Sampling
from tests.loaded import encoded, prompt_ids


@pytest.mark.parametrize("system", SYSTEMS)
def test_ids_equal_transformers_generate(engines, tiny_bundle, texts, answer, reference, same, system):
    model, codec, count = tiny_bundle.model(system), tiny_bundle.codec(system), len(texts)
    tasks = [list(TASKS)[i % 2] for i in range(count)]
    prompts = [prompt_ids(tiny_bundle, text, task) for task, text in zip(tasks, texts, strict=True)]
    singles = [reference(model, prompts[i : i + 1])[0] for i in range(0, count, 20)]
    expected = [row for i in range(0, count, 50) for row in reference(model, prompts[i : i + 50])]
    expected[::20] = singles  # batch 1, as the engine runs; the rest in batches, to save time
    generations = [answer(engines[system], text, task) for task, text in zip(tasks, texts, strict=True)]
    assert min(map(len, prompts)) < 10
    assert max(map(len, prompts)) > 128  # beyond T5's last distance bucket
    assert {generation.finish_reason for generation in generations} == {"eos", "length"}
    for prompt, generation, ids in zip(prompts, generations, expected, strict=True):
        assert same(model, prompt, generation.token_ids, ids)
        assert generation.prompt_tokens == len(prompt)
        assert generation.text == codec.decode(ids)


@pytest.mark.parametrize("system", SYSTEMS)
def test_long_answers_equal_too(engines, tiny_bundle, texts, answer, reference, system, monkeypatch):
    """Caches grow, and beyond 128 tokens distances reach the last bucket."""
    monkeypatch.setattr(decoder, "CAPACITY", 4)
    text = next(t for t in reversed(texts) if answer(engines[system], t).finish_reason == "length")
    generation = answer(TorchEngine(tiny_bundle, system), text, max_new_tokens=150)
    prompt = prompt_ids(tiny_bundle, text)
    expected = reference(tiny_bundle.model(system), [prompt], 150)[0]
    assert list(generation.token_ids) == expected


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_a_second_answer_ends_the_first(tiny_bundle, engines, texts, answer, steps):
    engine = engines["slm"]
    expected = answer(engine, texts[1], ignore_eos=True).token_ids
    first = engine.generate(encoded(tiny_bundle, texts[:1]), Sampling(9, ignore_eos=True))
    for _ in range(steps):
        next(first)
    second = engine.generate(encoded(tiny_bundle, texts[1:2]), Sampling(24, ignore_eos=True))
    steps_left = [next(second) for _ in range(5)]
    with pytest.raises(EngineError, match="one generation at a time"):
        list(first)
    steps_left.extend(second)
    assert tuple(i for step in steps_left for row in step.token_ids for i in row) == expected


def test_inference_mode_ends_where_the_callers_code_runs(tiny_bundle, engines, texts):
    for _ in engines["hybrid"].generate(encoded(tiny_bundle, texts[:1]), Sampling(3)):
        assert not torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled()


def test_weights_stay_as_they_were(tiny_bundle, texts, answer):
    before = {name: tensor.clone() for name, tensor in tiny_bundle.hybrid.state_dict().items()}
    answer(TorchEngine(tiny_bundle, "hybrid"), texts[9])
    after = tiny_bundle.hybrid.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert all(parameter.requires_grad for parameter in tiny_bundle.hybrid.slm.parameters())


@pytest.mark.parametrize("variant", ["replace", "untied head", "unscaled head"])
def test_variants_of_the_models_equal_generate(tiny_bundle, texts, answer, reference, variant):
    hybrid = copy.deepcopy(tiny_bundle.hybrid)
    if variant == "replace":
        hybrid.config.fusion = "replace"
    elif variant == "untied head":
        weight = torch.randn(hybrid.slm.lm_head.weight.shape, generator=torch.Generator().manual_seed(5))
        hybrid.slm.lm_head.weight = torch.nn.Parameter(weight)
    else:
        hybrid.slm.config.scale_decoder_outputs = False
    bundle = replace(tiny_bundle, models={**tiny_bundle.models, "hybrid": hybrid})
    changed, plain = TorchEngine(bundle, "hybrid"), TorchEngine(tiny_bundle, "hybrid")
    prompts = [prompt_ids(bundle, text) for text in texts[::20]]
    ids = [list(answer(changed, text).token_ids) for text in texts[::20]]
    assert ids == reference(hybrid, prompts)
    assert variant == "unscaled head" or ids != [list(answer(plain, t).token_ids) for t in texts[::20]]


def test_logits_equal_transformers(tiny_bundle, texts, answer):
    """Not only their order: the head's scale and the folded gains are there."""
    engine = TorchEngine(tiny_bundle, "hybrid")
    generation = answer(engine, texts[50], max_new_tokens=4, ignore_eos=True)
    prompt = prompt_ids(tiny_bundle, texts[50])
    written = torch.tensor([[0, *generation.token_ids[:3]]])
    with torch.no_grad():
        expected = tiny_bundle.hybrid(input_ids=torch.tensor([prompt]), decoder_input_ids=written).logits[
            0, -1
        ]
    torch.testing.assert_close(engine.strategy.decoder.single.logits[0], expected, rtol=1e-4, atol=1e-4)


def test_bfloat16_runs_and_mostly_agrees(tiny_bundle, engines, texts, answer):
    engine = TorchEngine(tiny_bundle, "hybrid", dtype=torch.bfloat16)
    assert engine.dtype == "bfloat16"
    first = [(answer(engine, t).token_ids[0], answer(engines["hybrid"], t).token_ids[0]) for t in texts[::10]]
    assert sum(a == b for a, b in first) >= len(first) * 0.7


def test_an_engine_that_cannot_run_says_why(tiny_bundle):
    with pytest.raises(EngineError, match=r"'huge'; available: llm, slm, hybrid, lossless"):
        TorchEngine(tiny_bundle, "huge")
    with pytest.raises(EngineError, match=r"'abacus' cannot be used here; available: cpu"):
        TorchEngine(tiny_bundle, "llm", device="abacus")
    if not torch.cuda.is_available():
        with pytest.raises(EngineError, match="'cuda' cannot be used here"):
            TorchEngine(tiny_bundle, "llm", device=Device("cuda"))


def test_threads_are_set_for_whoever_runs_it(tiny_bundle, texts):
    before = torch.get_num_threads()
    engine = TorchEngine(tiny_bundle, "slm", threads=2)
    try:
        assert torch.get_num_threads() == before
        next(engine.generate(encoded(tiny_bundle, texts[:1]), Sampling(1)))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.gpu
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_gpu_gives_the_same_ids_in_float32_and_mostly_in_bfloat16(
    tiny_bundle, engines, texts, answer, system
):
    exact = TorchEngine(tiny_bundle, system, device=Device("cuda"), dtype=torch.float32)
    brief = TorchEngine(tiny_bundle, system, device=Device("cuda"))
    assert (brief.device, brief.dtype, exact.dtype) == ("cuda", "bfloat16", "float32")
    brief.synchronize()
    expected = [answer(engines[system], text).token_ids for text in texts[::10]]
    assert [answer(exact, text).token_ids for text in texts[::10]] == expected
    first = [answer(brief, text).token_ids[0] for text in texts[::10]]
    assert sum(a == b[0] for a, b in zip(first, expected, strict=True)) >= len(first) * 0.7
