"""transformers' configuration of a shape, for models whose weights do not matter."""

from typing import Any

from transformers import AutoConfig, PretrainedConfig

from hybrid.models.shapes import Shape

LONGEST = 2**17  # tokens, where rotary positions set no limit


def shape_config(shape: Shape, pad: int, eos: int) -> PretrainedConfig:
    """Describe a model of these sizes; an answer begins with `pad` and ends with `eos`."""
    ids = {"pad_token_id": pad, "bos_token_id": pad, "eos_token_id": eos}
    if not (shape.decoder_only or shape.family == "t5gemma"):
        ids["decoder_start_token_id"] = pad
    sizes = {"t5": _t5, "mt5": _t5, "bart": _bart, "marian": _bart, "t5gemma": _t5gemma, "gpt2": _gpt2}
    settings = sizes.get(shape.family, _llama)(shape)
    for half in ("encoder", "decoder"):
        if half in settings:
            settings[half] |= ids
    # In transformers 5 a T5's only scales its outputs.
    return AutoConfig.for_model(shape.family, **settings, **ids, tie_word_embeddings=shape.tied_head)


def _t5(shape: Shape) -> dict[str, Any]:
    return {
        "vocab_size": shape.vocabulary, "d_model": shape.d_model, "d_ff": shape.d_ff, "d_kv": shape.d_kv,
        "num_heads": shape.heads, "num_layers": shape.encoder_layers,
        "num_decoder_layers": shape.decoder_layers, "feed_forward_proj": shape.feed_forward,
    }  # fmt: skip


def _bart(shape: Shape) -> dict[str, Any]:
    sizes = {"ffn_dim": shape.d_ff, "attention_heads": shape.heads}
    return {f"{half}_{size}": value for half in ("encoder", "decoder") for size, value in sizes.items()} | {
        "vocab_size": shape.vocabulary, "d_model": shape.d_model, "encoder_layers": shape.encoder_layers,
        "decoder_layers": shape.decoder_layers, "activation_function": shape.feed_forward,
        "max_position_embeddings": shape.positions, "scale_embedding": shape.family == "marian",
        "forced_bos_token_id": None, "forced_eos_token_id": None,
    }  # fmt: skip


def _gpt2(shape: Shape) -> dict[str, Any]:
    activation = "gelu_new" if shape.feed_forward == "gelu" else shape.feed_forward
    return {
        "vocab_size": shape.vocabulary, "n_embd": shape.d_model, "n_inner": shape.d_ff,
        "n_head": shape.heads, "n_layer": shape.decoder_layers, "n_positions": shape.positions,
        "activation_function": activation,
    }  # fmt: skip


def _llama(shape: Shape) -> dict[str, Any]:
    """Name the sizes of a Llama, and of the families that call theirs alike."""
    sizes = {
        "vocab_size": shape.vocabulary, "hidden_size": shape.d_model, "intermediate_size": shape.d_ff,
        "num_hidden_layers": shape.decoder_layers, "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.grouped_heads, "head_dim": shape.d_kv,
        "max_position_embeddings": LONGEST,
    }  # fmt: skip
    activation = shape.feed_forward.removeprefix("gated-")
    if shape.family == "gpt_neox":
        del sizes["num_key_value_heads"], sizes["head_dim"]
        return sizes | {"hidden_act": activation}
    return sizes | ({"query_pre_attn_scalar": shape.d_kv} if activation == "gelu" else {})


def _t5gemma(shape: Shape) -> dict[str, Any]:
    half = _llama(shape)
    return {
        "encoder": half | {"num_hidden_layers": shape.encoder_layers},
        "decoder": half | {"cross_attention_hidden_size": shape.d_model},
    }
