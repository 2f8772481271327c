"""Tiny models of many families with random weights, whose answers vary."""

from typing import Any

import torch
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from hybrid.models.architectures import new_model

VOCABULARY, PAD, EOS = 96, 0, 1
IDS = {"vocab_size": VOCABULARY, "pad_token_id": PAD, "eos_token_id": EOS, "bos_token_id": 2}


def _t5(width: int, layers: int) -> dict[str, Any]:
    return {
        "d_model": width, "d_ff": 2 * width, "d_kv": width // 2, "num_heads": 2, "num_layers": layers,
        "feed_forward_proj": "gated-gelu", "decoder_start_token_id": PAD,
    }  # fmt: skip


def _llama(width: int, layers: int) -> dict[str, Any]:
    return {
        "hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": layers,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": width // 4,
        "max_position_embeddings": 256,
    }  # fmt: skip


def _gpt2(width: int, layers: int) -> dict[str, Any]:
    return {"n_embd": width, "n_head": 2, "n_layer": layers, "n_positions": 256}


def _opt(width: int, layers: int) -> dict[str, Any]:
    return {
        "hidden_size": width, "ffn_dim": 2 * width, "num_hidden_layers": layers, "num_attention_heads": 2,
        "word_embed_proj_dim": width, "max_position_embeddings": 256,
    }  # fmt: skip


def _gpt_neox(width: int, layers: int) -> dict[str, Any]:
    return {
        "hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": layers,
        "num_attention_heads": 2, "max_position_embeddings": 256,
    }  # fmt: skip


def _gemma3(width: int, layers: int) -> dict[str, Any]:
    return _llama(width, layers) | {"sliding_window": 8, "query_pre_attn_scalar": width // 4}


def _bart(width: int, layers: int) -> dict[str, Any]:
    sizes = {"layers": layers, "ffn_dim": 2 * width, "attention_heads": 2}
    sides = {f"{side}_{name}": size for side in ("encoder", "decoder") for name, size in sizes.items()}
    return sides | {
        "d_model": width, "max_position_embeddings": 256, "decoder_start_token_id": PAD,
        "scale_embedding": True, "forced_eos_token_id": None, "forced_bos_token_id": None,
    }  # fmt: skip


def _t5gemma(width: int, layers: int) -> dict[str, Any]:
    # In transformers 5.23 what crosses is cached no farther than the window, either.
    stack = IDS | _gemma3(width, layers) | {"sliding_window": 64}
    return {"encoder": stack, "decoder": stack | {"cross_attention_hidden_size": width}}


FAMILIES = {
    "t5": _t5, "mt5": _t5, "bart": _bart, "marian": _bart, "t5gemma": _t5gemma, "gpt2": _gpt2,
    "gpt_neox": _gpt_neox, "llama": _llama, "qwen2": _llama, "qwen3": _llama,
    "gemma3_text": _gemma3, "opt": _opt,
}  # fmt: skip


# Families that multiply their embeddings by the root of the width.
SCALED = {"bart": 0.1, "marian": 0.1, "gemma3_text": 0.1, "t5gemma": 0.02}


def tiny_config(family: str, width: int = 32, layers: int = 3, **settings: Any) -> PretrainedConfig:
    return AutoConfig.for_model(family, **IDS | FAMILIES[family](width, layers) | settings)


def tiny_model(
    family: str, width: int = 32, layers: int = 3, seed: int = 0, **settings: Any
) -> PreTrainedModel:
    """A model of a family; encoder and decoder have `layers` blocks each. settings: of its configuration."""
    torch.manual_seed(seed)
    model = new_model(tiny_config(family, width, layers, **settings))
    embeddings = model.get_input_embeddings().weight
    with torch.no_grad():
        for weight in (weight for weight in model.parameters() if weight.requires_grad):
            if weight.ndim == 1:
                weight.add_(torch.randn_like(weight) * 0.1)
            else:
                weight.copy_(torch.randn_like(weight) * 2.0 * weight.shape[1] ** -0.5)
        # Small beside the layers' sums, else a token only repeats itself.
        embeddings.mul_(SCALED.get(family, 1.0))
    return model.eval()
