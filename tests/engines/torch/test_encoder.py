"""Whatever reads a prompt gives the hidden states of transformers, of any layer, alone and in a batch."""

import random

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
    T5Config,
    T5EncoderModel,
)

from hybrid.engines.torch.encoder import PromptEncoder, StackEncoder
from hybrid.engines.torch.operations import Target
from hybrid.errors import EngineError
from hybrid.models.architectures import reader_of

VOCABULARY, LONGEST = 96, 40
TARGET = Target(torch.device("cpu"), torch.float32)
SIZES = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
}  # fmt: skip
WINDOWS = {
    "sliding_window": 6, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]
}  # fmt: skip
READERS = {
    "t5": T5Config(
        vocab_size=VOCABULARY, d_model=32, d_kv=8, d_ff=48, num_layers=3, num_heads=4,
        feed_forward_proj="gated-gelu",
    ),
    "gpt2": GPT2Config(n_embd=32, n_layer=3, n_head=4, n_positions=LONGEST, vocab_size=VOCABULARY),
    "gpt_neox": GPTNeoXConfig(**SIZES, rotary_pct=0.5),
    "llama": LlamaConfig(**SIZES),
    "qwen2": Qwen2Config(**SIZES, use_sliding_window=True, **WINDOWS),
    "qwen3": Qwen3Config(**SIZES, head_dim=12),
    "gemma3": Gemma3TextConfig(**SIZES, head_dim=8, query_pre_attn_scalar=8, **WINDOWS),
}  # fmt: skip
PROMPTS = [random.Random(0).choices(range(VOCABULARY), k=size) for size in (1, 7, LONGEST, 23, 7)]


@pytest.fixture(scope="module", params=READERS)
def model(request):
    """An encoder, or a causal model, with weights that are far from their first ones."""
    torch.manual_seed(3)
    config = READERS[request.param]
    kind = T5EncoderModel if request.param == "t5" else AutoModelForCausalLM
    model = kind.from_config(config) if kind is AutoModelForCausalLM else kind(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=0.2) if weight.ndim == 2 else weight.uniform_(0.5, 1.5)
    return model.eval()


def expected(model, prompt, layer) -> torch.Tensor:
    """(S, D) hidden states: of a layer; normed behind the last one."""
    with torch.no_grad():
        outputs = model(torch.tensor([prompt]), output_hidden_states=True)
    return outputs.hidden_states[-1 if layer is None else layer][0]


@torch.inference_mode()
def read(model, prompts, layer=None) -> list[torch.Tensor]:
    encode = PromptEncoder(StackEncoder(reader_of(model, layer), TARGET, LONGEST), TARGET)
    return list(encode(prompts).rows.split([len(prompt) for prompt in prompts]))


@pytest.mark.parametrize("layer", [None, 1, 2])
def test_states_equal_transformers_alone_and_in_a_batch(model, layer):
    together = read(model, PROMPTS, layer)
    for prompt, states in zip(PROMPTS, together, strict=True):
        (alone,) = read(model, [prompt], layer)
        torch.testing.assert_close(alone, expected(model, prompt, layer), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(states, alone, rtol=1e-4, atol=1e-4)


def test_a_layer_that_is_given_is_read_without_the_final_norm(model):
    last, normed = read(model, PROMPTS[:1], 3)[0], read(model, PROMPTS[:1])[0]
    assert not torch.allclose(last, normed, atol=1e-2)
    stack = reader_of(model)
    scaled = last - last.mean(1, keepdim=True) if stack.final_norm.kind == "layer" else last
    scaled = scaled / scaled.pow(2).mean(1, keepdim=True).sqrt() * stack.final_norm.gain
    shift = 0 if stack.final_norm.bias is None else stack.final_norm.bias
    torch.testing.assert_close(scaled + shift, normed, rtol=1e-3, atol=1e-3)


def test_a_base_model_cut_off_behind_a_layer_reads_as_the_whole_one(model):
    if model.config.model_type == "t5":
        pytest.skip("an encoder stands alone")
    shorter = {"num_hidden_layers": 2}
    if getattr(model.config, "layer_types", None):
        shorter["layer_types"] = model.config.layer_types[:2]
    config = type(model.config)(**model.config.to_dict() | shorter)
    base = type(model.base_model)(config).eval()
    weights = {n: w for n, w in model.base_model.state_dict().items() if n in base.state_dict()}
    base.load_state_dict(weights)
    (last,) = {"norm", "ln_f", "final_layer_norm"} & dict(base.named_children()).keys()
    setattr(base, last, torch.nn.Identity())
    for layer in (None, 2):
        torch.testing.assert_close(read(base, PROMPTS, layer), read(model, PROMPTS, 2))


@pytest.mark.parametrize("layer", [0, 4])
def test_a_layer_that_is_not_there_is_refused(model, layer):
    with pytest.raises(EngineError, match=f"{layer}.*has 3"):
        reader_of(model, layer)
