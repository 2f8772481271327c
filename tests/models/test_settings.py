"""What a config.json may hold, whoever wrote it: a model is built of what is known and within bounds."""

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

from hybrid.models.architectures import configuration, empty_model, new_model, sizes_of

SMALL = {"vocab_size": 96, "eos_token_id": 1, "pad_token_id": 0}
SIZES = SMALL | {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 256,
}  # fmt: skip
CONFIGS = {
    "gpt2": GPT2Config(n_embd=24, n_layer=2, n_head=2, n_positions=64, **SMALL),
    "gpt_neox": GPTNeoXConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, rotary_pct=0.5,
        **SMALL,
    ),
    "llama": LlamaConfig(**SIZES, tie_word_embeddings=True),
    "qwen2": Qwen2Config(**SIZES, use_sliding_window=True, sliding_window=8, max_window_layers=1),
    "qwen3": Qwen3Config(**SIZES | {"head_dim": 12}),
    "gemma3_text": Gemma3TextConfig(**SIZES, sliding_window=8, query_pre_attn_scalar=9),
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
    "gpt_neox": {
        "model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"], "eos_token_id": 0,
        "hidden_act": "gelu", "hidden_size": 32, "initializer_range": 0.02, "intermediate_size": 48,
        "layer_norm_eps": 1e-5, "max_position_embeddings": 256, "num_attention_heads": 2,
        "num_hidden_layers": 2, "rotary_emb_base": 10000, "rotary_pct": 0.25, "tie_word_embeddings": False,
        "use_cache": True, "use_parallel_residual": True, "vocab_size": 96,
    },
    "qwen2": {
        "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0,
        "bos_token_id": 2, "eos_token_id": 1, "hidden_act": "silu", "hidden_size": 32,
        "initializer_range": 0.02, "intermediate_size": 48, "max_position_embeddings": 256,
        "max_window_layers": 1, "num_attention_heads": 4, "num_hidden_layers": 2, "num_key_value_heads": 2,
        "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "sliding_window": 32, "use_sliding_window": False,
        "tie_word_embeddings": True, "vocab_size": 96,
    },
    "qwen3": {
        "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "attention_bias": False, "head_dim": 12,
        "eos_token_id": 1, "hidden_act": "silu", "hidden_size": 32, "intermediate_size": 48,
        "max_position_embeddings": 256, "max_window_layers": 2, "num_attention_heads": 4,
        "num_hidden_layers": 2, "num_key_value_heads": 2, "rms_norm_eps": 1e-6, "rope_scaling": None,
        "rope_theta": 1000000, "sliding_window": None, "use_sliding_window": False, "vocab_size": 96,
    },
    "gemma3_text": {
        "model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"], "attn_logit_softcapping": None,
        "final_logit_softcapping": None, "eos_token_id": [1, 3], "head_dim": 8, "hidden_size": 32,
        "hidden_activation": "gelu_pytorch_tanh", "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 1, "pad_token_id": 0, "query_pre_attn_scalar": 8,
        "rms_norm_eps": 1e-6, "rope_local_base_freq": 10000, "rope_scaling": None, "rope_theta": 1000000,
        "sliding_window": 8, "sliding_window_pattern": 2, "vocab_size": 96,
    },
    "gemma3": {
        "model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"], "eos_token_id": [1, 3],
        "text_config": {
            "model_type": "gemma3_text", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
            "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 8,
            "vocab_size": 96, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 8,
        },
        "vision_config": {"model_type": "siglip_vision_model"},
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
        ("pad_token_id", -1, "-1"), ("head_dim", 5, "5 channels"),
    ],
    "gpt_neox": [
        ("rotary_pct", 1.5, "1.5"), ("rotary_pct", 0.2, "3 channels"), ("hidden_act", "mish", "mish"),
        ("num_attention_heads", 3, "3 does not divide"), ("use_parallel_residual", 1, "parallel"),
        ("rope_scaling", {"type": "dynamic", "factor": 2.0}, "dynamic"), ("layer_norm_eps", -1.0, "-1.0"),
    ],
    "qwen2": [
        ("layer_types", ["full_attention"], "1 entries"), ("layer_types", ["chunked", "chunked"], "chunked"),
        ("layer_types", ["sliding_attention"] * 2, "sliding_window is None"),
        ("sliding_window", 0, "sliding_window"),
    ],
    "qwen3": [("head_dim", 7, "7 channels"), ("num_key_value_heads", 0, "num_key_value_heads")],
    "gemma3": [
        ("text_config", [1], "text_config is"), ("eos_token_id", [96], "96"),
        ("text_config", {"hidden_size": 32}, "intermediate_size"),
    ],
    "gemma3_text": [
        ("final_logit_softcapping", 30.0, "final_logit_softcapping is 30.0"),
        ("attn_logit_softcapping", 50.0, "attn_logit_softcapping is 50.0"),
        ("use_bidirectional_attention", True, "use_bidirectional_attention is True"),
        ("sliding_window", None, "sliding_window"), ("query_pre_attn_scalar", 0, "query_pre_attn_scalar"),
        ("rope_parameters", {"full_attention": {"rope_type": "yarn"}}, "yarn"),
        ("hidden_activation", "gelu", "gelu"), ("vocab_size", 1, "eos_token_id"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("family", "key", "value", "names"),
    [(family, *wrong) for family, wrongs in WRONG.items() for wrong in wrongs],
)
def test_a_value_out_of_bounds_is_refused_by_name(family, key, value, names):
    with pytest.raises(ValueError, match=names):
        configuration(HUB[family] | {key: value})
