"""Every kind of T5, as small models with random weights."""

import torch
from transformers import MT5Config, MT5ForConditionalGeneration, T5Config, T5ForConditionalGeneration

# Each unlike the tiny pair: ReLU, a head with a matrix of its own, no scale, other sizes and depths.
FAMILIES = {
    "t5": {"feed_forward_proj": "relu"},
    "t5, more decoder than encoder layers": {"feed_forward_proj": "relu", "num_decoder_layers": 4},
    "t5, heads wider than the model": {"feed_forward_proj": "relu", "d_kv": 24, "num_heads": 3},
    "flan-t5": {"tie_word_embeddings": False},
    "t5-v1.1, heads narrower than the model": {"tie_word_embeddings": False, "d_kv": 8, "num_heads": 2},
    "mt5": {"model": MT5ForConditionalGeneration},
    "mt5, relu": {"model": MT5ForConditionalGeneration, "feed_forward_proj": "relu"},
}


def random_model(width: int, seed: int, **settings):
    """A small model whose answers vary, with a head's matrix of its own where it is not tied."""
    kind = settings.pop("model", T5ForConditionalGeneration)
    sizes = {
        "vocab_size": 384, "d_model": width, "d_ff": 2 * width, "d_kv": width // 2, "num_heads": 2,
        "num_layers": 2, "feed_forward_proj": "gated-gelu", "decoder_start_token_id": 0,
    }  # fmt: skip
    torch.manual_seed(seed)
    model = kind((MT5Config if kind is MT5ForConditionalGeneration else T5Config)(**sizes | settings)).eval()
    # Its caches have as many layers as the encoder, in transformers 5.23.
    model.generation_config.use_cache = model.config.num_layers >= model.config.num_decoder_layers
    with torch.no_grad():
        if settings.get("tie_word_embeddings") is False:
            model.lm_head.weight = torch.nn.Parameter(torch.randn(384, width))
        for name, weight in model.named_parameters():
            if "layer_norm" in name:
                weight.uniform_(0.5, 1.5)
            elif "relative_attention_bias" in name:
                weight.normal_()
            elif "shared" in name:
                weight.normal_(std=0.3)
            elif ".q.weight" in name:
                weight.mul_(0.5 * model.config.d_kv**0.5)
            elif "lm_head" not in name:
                weight.mul_(2.0)
    return model
