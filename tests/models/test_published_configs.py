"""The config.json of models that people know, as the Hub has it, gives models of the published size."""

import pytest

from hybrid.models.architectures import configuration, empty_model, sizes_of

LLAMA3_ROPE = {
    "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192, "rope_type": "llama3",
}  # fmt: skip
# Settings that matter, and the number of parameters.
PUBLISHED = {
    "GPT-2": (
        {
            "model_type": "gpt2", "vocab_size": 50257, "n_embd": 768, "n_head": 12, "n_layer": 12,
            "n_ctx": 1024, "n_positions": 1024, "activation_function": "gelu_new", "eos_token_id": 50256,
        },
        124_439_808,
    ),
    "Pythia 70M": (
        {
            "model_type": "gpt_neox", "vocab_size": 50304, "hidden_size": 512, "intermediate_size": 2048,
            "num_attention_heads": 8, "num_hidden_layers": 6, "rotary_pct": 0.25, "rotary_emb_base": 10000,
            "hidden_act": "gelu", "layer_norm_eps": 1e-5, "max_position_embeddings": 2048, "eos_token_id": 0,
            "use_parallel_residual": True, "tie_word_embeddings": False,
        },
        70_426_624,
    ),
    "SmolLM2 135M": (
        {
            "model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536,
            "num_attention_heads": 9, "num_key_value_heads": 3, "num_hidden_layers": 30, "rope_theta": 100000,
            "rope_scaling": None, "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": True,
            "max_position_embeddings": 8192, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2,
            "attention_bias": False, "mlp_bias": False, "is_llama_config": True, "rope_interleaved": False,
        },
        134_515_008,
    ),
    "TinyLlama 1.1B": (
        {
            "model_type": "llama", "vocab_size": 32000, "hidden_size": 2048, "intermediate_size": 5632,
            "num_attention_heads": 32, "num_key_value_heads": 4, "num_hidden_layers": 22,
            "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": False, "eos_token_id": 2,
            "max_position_embeddings": 2048, "pretraining_tp": 1,
        },
        1_100_048_384,
    ),
    "Llama 3.2 1B": (
        {
            "model_type": "llama", "vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192,
            "num_attention_heads": 32, "num_key_value_heads": 8, "num_hidden_layers": 16, "head_dim": 64,
            "rope_theta": 500000.0, "rope_scaling": LLAMA3_ROPE, "rms_norm_eps": 1e-5, "hidden_act": "silu",
            "tie_word_embeddings": True, "max_position_embeddings": 131072, "bos_token_id": 128000,
            "eos_token_id": [128001, 128008, 128009],
        },
        1_235_814_400,
    ),
    "Qwen2.5 0.5B": (
        {
            "model_type": "qwen2", "vocab_size": 151936, "hidden_size": 896, "intermediate_size": 4864,
            "num_attention_heads": 14, "num_key_value_heads": 2, "num_hidden_layers": 24,
            "rope_theta": 1000000.0, "rms_norm_eps": 1e-6, "hidden_act": "silu", "tie_word_embeddings": True,
            "max_position_embeddings": 32768, "max_window_layers": 21, "sliding_window": 32768,
            "use_sliding_window": False, "bos_token_id": 151643, "eos_token_id": 151645,
        },
        494_032_768,
    ),
    "Qwen3 0.6B": (
        {
            "model_type": "qwen3", "vocab_size": 151936, "hidden_size": 1024, "intermediate_size": 3072,
            "num_attention_heads": 16, "num_key_value_heads": 8, "num_hidden_layers": 28, "head_dim": 128,
            "rope_theta": 1000000, "rope_scaling": None, "rms_norm_eps": 1e-6, "hidden_act": "silu",
            "tie_word_embeddings": True, "max_position_embeddings": 40960, "max_window_layers": 28,
            "sliding_window": None, "use_sliding_window": False, "eos_token_id": 151645,
        },
        596_049_920,
    ),
    "Gemma 3 1B": (
        {
            "model_type": "gemma3_text", "vocab_size": 262144, "hidden_size": 1152, "intermediate_size": 6912,
            "num_attention_heads": 4, "num_key_value_heads": 1, "num_hidden_layers": 26, "head_dim": 256,
            "rope_theta": 1000000, "rope_local_base_freq": 10000, "rope_scaling": None, "rms_norm_eps": 1e-6,
            "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 256, "sliding_window": 512,
            "sliding_window_pattern": 6, "max_position_embeddings": 32768, "attention_bias": False,
            "attn_logit_softcapping": None, "final_logit_softcapping": None, "cache_implementation": "hybrid",
            "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": [1, 106],
        },
        999_885_952,
    ),
    "Gemma 3 4B": (
        {
            "model_type": "gemma3", "boi_token_index": 255999, "eos_token_id": [1, 106],
            "text_config": {
                "model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240,
                "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
                "sliding_window": 1024,
            },
            "vision_config": {"model_type": "siglip_vision_model", "hidden_size": 1152},
        },
        3_880_263_168,  # of 4,300,079,472, with what sees images
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_configuration_gives_a_model_of_its_size(name):
    hub, parameters = PUBLISHED[name]
    config = configuration(hub)
    model = empty_model(config)
    assert sum(weight.numel() for weight in model.parameters()) == parameters
    sizes, own = sizes_of(hub), sizes_of(config)
    assert (sizes.head_width, sizes.vocabulary) == (own.head_width, own.vocabulary)
    assert own.tied_head == (model.get_output_embeddings().weight is model.get_input_embeddings().weight)
