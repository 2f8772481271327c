"""Decoder-only families alone: transformers' greedy ids, batch = singles, cached = uncached."""

import random
from types import SimpleNamespace

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    Qwen2Config,
    Qwen3Config,
)

from hybrid.engines.decoding import decoding_strategy
from hybrid.engines.torch.engine import TorchBackend, TorchEngine
from hybrid.engines.torch.operations import Target
from hybrid.errors import EngineError
from hybrid.schema import EncodedPrompt, Sampling

VOCABULARY, EOS, PAD, LONGEST, NEW = 96, 1, 0, 40, 16
LENGTHS = (1, 2, 3, 5, 8, 13, 21, 30, LONGEST)
CPU = torch.device("cpu")
LLAMA = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 256,
}  # fmt: skip
NEOX = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
    "max_position_embeddings": 256, "vocab_size": VOCABULARY,
}  # fmt: skip
WINDOWS = {"sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"]}
STRETCHED = {
    "rope_theta": 500.0, "rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 32,
}  # fmt: skip
FAMILIES = {
    "gpt2": GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=256, vocab_size=VOCABULARY),
    "gpt2, relu and a wide feed-forward": GPT2Config(
        n_embd=24, n_layer=3, n_head=2, n_inner=100, n_positions=256, activation_function="relu",
        vocab_size=VOCABULARY, bos_token_id=None, eos_token_id=EOS,
    ),
    "llama": LlamaConfig(**LLAMA, vocab_size=VOCABULARY),
    "llama, one key-value head, wide heads": LlamaConfig(
        **LLAMA | {"num_key_value_heads": 1, "head_dim": 16}, vocab_size=VOCABULARY, tie_word_embeddings=True
    ),
    "llama, biases and stretched positions": LlamaConfig(
        **LLAMA | {"num_key_value_heads": 4}, vocab_size=VOCABULARY, attention_bias=True, mlp_bias=True,
        rope_parameters=STRETCHED,
    ),
    "gpt_neox": GPTNeoXConfig(**NEOX),
    "gpt_neox, one part after the other": GPTNeoXConfig(
        **NEOX, use_parallel_residual=False, attention_bias=False, hidden_act="gelu_new",
        rope_parameters={"rope_type": "default", "rope_theta": 1000.0, "partial_rotary_factor": 1.0},
    ),
    "qwen2": Qwen2Config(**LLAMA, vocab_size=VOCABULARY),
    "qwen2, windows": Qwen2Config(**LLAMA, vocab_size=VOCABULARY, use_sliding_window=True, **WINDOWS),
    "qwen3": Qwen3Config(**LLAMA | {"head_dim": 12}, vocab_size=VOCABULARY, tie_word_embeddings=True),
    "gemma3": Gemma3TextConfig(
        **LLAMA | {"num_hidden_layers": 3}, vocab_size=VOCABULARY, query_pre_attn_scalar=11, sliding_window=6,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        rope_parameters={
            "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 5000.0},
        },
    ),
}  # fmt: skip


class Pair:
    """As much of a bundle as an engine asks for: decoder-only models alone."""

    max_prompt_tokens = LONGEST

    def __init__(self, **models) -> None:
        self.models = models

    def model(self, name: str):
        return self.models[name]

    def codec(self, method: str):
        return SimpleNamespace(eos_ids=(EOS,))


def random_model(config, seed: int):
    """A model whose answers vary and end by themselves now and then."""
    torch.manual_seed(seed)
    config.bos_token_id, config.eos_token_id, config.pad_token_id = None, EOS, PAD
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2:
                weight.normal_(std=0.3 if "wte" in name or "embed" in name or "wpe" in name else 0.25)
            elif name.endswith("bias"):
                weight.normal_(std=0.3)
            else:
                weight.uniform_(0.5, 1.5)
        head = model.get_output_embeddings()
        if head.weight.data_ptr() == model.get_input_embeddings().weight.data_ptr():
            head.weight = torch.nn.Parameter(0.25 * torch.randn_like(head.weight))
    _end(model)
    return model


def _end(model) -> None:
    """Swap the end's row of the head for that of an id that some answers hold, but not all."""
    rng = random.Random(9)
    answers = generate(model, [rng.choices(range(2, VOCABULARY), k=9) for _ in range(16)], eos_token_id=None)
    counts = [sum(token in ids for ids in answers) for token in range(VOCABULARY)]
    frequent = min(range(VOCABULARY), key=lambda token: abs(counts[token] - 6))
    with torch.no_grad():
        head = model.get_output_embeddings().weight
        head[[EOS, frequent]] = head[[frequent, EOS]]


@pytest.fixture(scope="module", params=FAMILIES)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def model(name):
    return random_model(FAMILIES[name], 5)


@pytest.fixture(scope="module")
def strategy(model):
    return strategies(model)


def strategies(model, method: str = "llm", **models):
    with torch.inference_mode():
        backend = TorchBackend(Pair(llm=model, **models), Target(CPU, torch.float32))
        return decoding_strategy(backend, method, (EOS,))


@pytest.fixture(scope="module")
def prompts(name) -> list[list[int]]:
    """200 prompts for each family, and 50 for its variants."""
    rng, count = random.Random(0), 50 if "," in name else 200
    return [rng.choices(range(2, VOCABULARY), k=rng.choice(LENGTHS)) for _ in range(count)]


@pytest.fixture(scope="module")
def expected(model, prompts) -> list[list[int]]:
    """transformers' greedy ids of each prompt alone."""
    return generate(model, prompts)


def generate(model, prompts, **settings) -> list[list[int]]:
    """transformers' ids of each prompt, of one length together: there is no padding."""
    settings = {"max_new_tokens": NEW, "do_sample": False, "pad_token_id": PAD} | settings
    answers = {}
    for size in {len(prompt) for prompt in prompts}:
        alike = [prompt for prompt in prompts if len(prompt) == size]
        rows = model.generate(torch.tensor(alike), **settings)[:, size:].tolist()
        answers |= zip(map(tuple, alike), rows, strict=True)
    rows = [answers[tuple(prompt)] for prompt in prompts]
    if settings.get("eos_token_id", EOS) is None:
        return rows
    return [row[: row.index(EOS) + 1] if EOS in row else row for row in rows]


@torch.inference_mode()
def decode(strategy, prompts, **sampling) -> list[list[int]]:
    steps = list(strategy.decode(prompts, Sampling(**{"max_new_tokens": NEW} | sampling)))
    assert steps[0].phase in ("prefill", "draft")
    return [
        [i for step in steps if step.token_ids for i in step.token_ids[row]] for row in range(len(prompts))
    ]


def test_ids_equal_generate(strategy, prompts, expected):
    assert [decode(strategy, [prompt])[0] for prompt in prompts] == expected
    ends = [ids[-1] == EOS for ids in expected]
    assert any(ends)
    assert not all(ends)
    assert len({tuple(ids) for ids in expected}) > len(prompts) // 3


@pytest.mark.parametrize("size", [3, 50])
def test_a_batch_equals_its_prompts_alone(strategy, prompts, expected, size):
    for start in range(0, len(prompts), size):
        assert decode(strategy, prompts[start : start + size]) == expected[start : start + size]


def test_logits_of_a_batch_equal_those_of_its_prompts(model, strategy, prompts, monkeypatch):
    from hybrid.engines.torch import batch_decoder

    seen, real = [], batch_decoder.argmax
    monkeypatch.setattr(batch_decoder, "argmax", lambda logits: seen.append(logits.clone()) or real(logits))
    ids = decode(strategy, prompts[:8], max_new_tokens=3, ignore_eos=True)
    for row, prompt in enumerate(prompts[:8]):
        for count, logits in enumerate(seen):
            with torch.no_grad():
                alone = model(torch.tensor([[*prompt, *ids[row][:count]]])).logits[0, -1]
            torch.testing.assert_close(logits[row], alone, rtol=1e-4, atol=1e-4)


def test_cached_equals_uncached(model, strategy, prompts, expected):
    """Each id is the greedy one after the whole text so far, computed anew."""
    for prompt, ids in zip(prompts[::10], expected[::10], strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *ids[:-1]]])).logits[0, len(prompt) - 1 :]
        assert logits.argmax(-1).tolist() == decode(strategy, [prompt])[0]


def test_the_end_can_be_ignored(model, strategy, prompts, expected):
    chosen = [n for n, ids in enumerate(expected) if ids[-1] == EOS and len(ids) < NEW][:6]
    ending = [prompts[n] for n in chosen]
    further = generate(model, ending, eos_token_id=None)
    assert decode(strategy, ending, ignore_eos=True) == further
    for prompt, ids, number in zip(ending, further, chosen, strict=True):
        assert decode(strategy, [prompt], ignore_eos=True) == [ids]
        assert ids[: len(expected[number])] == expected[number]


def test_nothing_of_another_request_is_left(strategy, prompts, expected):
    rng = random.Random(3)
    for _ in range(12):
        chosen = rng.sample(range(len(prompts)), rng.choice((1, 1, 3, 9)))
        ids = decode(strategy, [prompts[n] for n in chosen], max_new_tokens=NEW)
        assert ids == [expected[n] for n in chosen]


@pytest.mark.parametrize("method", ["lossless-lookup", "lossless-slm"])
def test_drafts_change_nothing(model, prompts, expected, method):
    slm = random_model(FAMILIES["llama"], 8)
    for draft in (slm, model):
        strategy = strategies(model, method, slm=draft)
        assert [decode(strategy, [prompt])[0] for prompt in prompts[::5]] == expected[::5]


def test_long_texts_make_the_caches_grow(model, prompts, monkeypatch):
    from hybrid.engines.torch import batch_decoder, decoder

    monkeypatch.setattr(decoder, "CAPACITY", 4)
    monkeypatch.setattr(batch_decoder, "CAPACITY", 4)
    strategy = strategies(model)
    for count in (1, 3):
        for size in (3, NEW):
            ids = decode(strategy, prompts[:count], max_new_tokens=size, ignore_eos=True)
            assert ids == [row[:size] for row in generate(model, prompts[:count], eos_token_id=None)]


def test_more_tokens_than_a_model_has_positions_for_are_refused():
    """Beyond a table of positions, and beyond the rotary ones that a model was trained with."""
    for family in ("gpt2", "llama"):
        engine = TorchEngine(Pair(llm=random_model(FAMILIES[family], 5)), "llm")
        prompts = [EncodedPrompt((5,) * 9), EncodedPrompt((7,) * 5)]
        assert len(list(engine.generate(prompts[:1], Sampling(248, ignore_eos=True)))) == 248
        for batch in (prompts[:1], prompts[:2]):
            with pytest.raises(
                EngineError, match=rf"{family} has positions for 256 tokens; .* take 257\. Give"
            ):
                list(engine.generate(batch, Sampling(249)))


def test_another_vocabulary_cannot_draft(model):
    config = LlamaConfig(**LLAMA, vocab_size=VOCABULARY + 5)
    with pytest.raises(EngineError, match=f"{VOCABULARY} ids and the slm {VOCABULARY + 5}"):
        strategies(model, "lossless-slm", slm=random_model(config, 1))
