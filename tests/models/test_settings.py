"""What a config.json may hold, whoever wrote it: a model is built of what is known and within bounds."""

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

from hybrid.models.architectures import configuration, empty_model, new_model, sizes_of

SMALL = {"vocab_size": 96, "eos_token_id": 1, "pad_token_id": 0}
CONFIGS = {
    "gpt2": GPT2Config(n_embd=24, n_layer=2, n_head=2, n_positions=64, **SMALL),
    "llama": LlamaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=True, **SMALL,
    ),
}  # fmt: skip
# As config.json on the Hub says it, before transformers has rewritten it.
HUB = {
    "llama": {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "torch_dtype": "bfloat16",
        "vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "hidden_act": "silu",
        "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "mlp_bias": False,
        "rope_scaling": {
            "factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
            "original_max_position_embeddings": 64, "rope_type": "llama3",
        },
        "tie_word_embeddings": True, "bos_token_id": 2, "eos_token_id": [1, 3, 4], "pretraining_tp": 1,
    },
    "gpt2": {
        "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "activation_function": "gelu_new",
        "n_ctx": 64, "n_embd": 24, "n_head": 2, "n_layer": 2, "n_positions": 64, "vocab_size": 96,
        "layer_norm_epsilon": 1e-5, "bos_token_id": 1, "eos_token_id": 1, "task_specific_params": {"a": 1},
    },
}  # fmt: skip


@pytest.mark.parametrize("family", CONFIGS)
def test_a_stored_configuration_gives_the_same_model(family):
    config = CONFIGS[family]
    read = configuration(config.to_diff_dict())
    assert sizes_of(read) == sizes_of(config)
    shapes = {name: weight.shape for name, weight in empty_model(read).state_dict().items()}
    assert shapes == {n: w.shape for n, w in AutoModelForCausalLM.from_config(config).state_dict().items()}
    assert all(weight.is_meta for weight in empty_model(read).parameters())
    stored, again = config.to_dict(), read.to_dict()
    assert {key for key in stored if stored[key] != again[key]} <= {"summary_type"}


@pytest.mark.parametrize("family", HUB)
def test_a_configuration_of_the_hub_gives_a_model(family):
    config = configuration(HUB[family])
    with torch.no_grad():
        logits = new_model(config).eval()(torch.tensor([[5, 6, 7]])).logits
    assert logits.shape == (1, 3, 96)
    assert logits.isfinite().all()
    assert config.eos_token_id == HUB[family]["eos_token_id"]


WRONG = {
    "gpt2": [
        ("n_embd", -4, "-4"), ("n_layer", 10**9, "1000"), ("n_head", 5, "n_head 5"),
        ("n_inner", "9", "n_inner"), ("eos_token_id", [], "eos"),
        ("activation_function", "exec", "exec"), ("layer_norm_epsilon", 0, "layer_norm_epsilon"),
        ("eos_token_id", 96, "eos_token_id is 96"), ("eos_token_id", [1, 96], "96"),
        ("resid_pdrop", 1.5, "1.5"), ("add_cross_attention", True, "add_cross_attention"),
    ],
    "llama": [
        ("hidden_size", 2**21, "2097152"), ("num_key_value_heads", 3, "3 key-value heads"),
        ("num_attention_heads", 5, "5 does not divide"), ("hidden_act", "gelu", "gelu"),
        ("rope_scaling", {"rope_type": "yarn", "factor": 2.0}, "yarn"),
        ("rope_scaling", {"type": "linear"}, "factor is missing"),
        ("rope_scaling", {"type": "linear", "factor": 0}, "factor"),
        ("rope_scaling", {"rope_type": "llama3", "factor": 2.0}, "low_freq_factor is missing"),
        ("rope_theta", float("nan"), "rope_theta"), ("tie_word_embeddings", "no", "tie_word_embeddings"),
        ("max_position_embeddings", 10**12, "1000000000000"), ("vocab_size", None, "vocab_size"),
        ("pad_token_id", -1, "-1"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("family", "key", "value", "names"),
    [(family, *wrong) for family, wrongs in WRONG.items() for wrong in wrongs],
)
def test_a_value_out_of_bounds_is_refused_by_name(family, key, value, names):
    with pytest.raises(ValueError, match=names):
        configuration(HUB[family] | {key: value})
