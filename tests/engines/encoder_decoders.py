"""BART, Marian and T5Gemma as small models with random weights, from what a config.json says."""

import torch

from hybrid.models.architectures import configuration, new_model

VOCABULARY = 384
SPREAD = {"bart": 1.0, "marian": 1.0, "t5gemma": 0.3}
IDS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1}


def bart(width: int, **settings) -> dict:
    return {
        "model_type": "bart", "vocab_size": VOCABULARY, "max_position_embeddings": 256, "d_model": width,
        "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 2 * width, "decoder_ffn_dim": 2 * width,
        "encoder_attention_heads": 2, "decoder_attention_heads": 2, "decoder_start_token_id": 0,
        **IDS, **settings,
    }  # fmt: skip


def marian(width: int, **settings) -> dict:
    marian = {"model_type": "marian", "scale_embedding": True, "activation_function": "swish"}
    return bart(width) | marian | settings


def t5gemma(width: int, encoder: dict | None = None, decoder: dict | None = None, **settings) -> dict:
    half = {
        "vocab_size": VOCABULARY, "hidden_size": width, "intermediate_size": 2 * width,
        "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "sliding_window": 24,
        "query_pre_attn_scalar": 16, "attn_logit_softcapping": 4.0, "final_logit_softcapping": 6.0,
        **IDS,
    }  # fmt: skip
    halves = {"encoder": half | (encoder or {}), "decoder": half | (decoder or {})}
    return {"model_type": "t5gemma", **halves, **settings}


# What each variant is about beside sizes; two widths make a pair of it.
VARIANTS = {
    "bart": bart,
    "bart, halves of two kinds": lambda width: bart(
        width, scale_embedding=True, activation_function="relu", decoder_layers=3, encoder_attention_heads=4,
        decoder_ffn_dim=3 * width,
    ),
    "marian": marian,
    # Answers are longer than what half the decoder's layers see.
    "t5gemma": lambda width: t5gemma(width, decoder={"sliding_window": 8}),
    "t5gemma, a large encoder": lambda width: t5gemma(
        width,
        encoder={"hidden_size": 2 * width, "num_hidden_layers": 3, "num_key_value_heads": 4, "head_dim": 24},
        decoder={
            "num_key_value_heads": 1, "attn_logit_softcapping": None, "layer_types": ["full_attention"] * 2,
        },
    ),
}  # fmt: skip


def random_model(config: dict, seed: int):
    """A model of this config.json whose answers vary and sometimes end before they must."""
    torch.manual_seed(seed)
    model = new_model(configuration(config)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 1:
                enlivened_vector(name, weight)
            elif "embed_positions" in name:
                if weight.requires_grad:  # sines stay sines
                    weight.normal_(std=0.1)
            elif "shared" in name or "embed_tokens" in name:
                # Small beside the layers' sums, else a token repeats itself; of one length, else one wins.
                weight.normal_().div_(weight.norm(dim=1, keepdim=True)).mul_(SPREAD[config["model_type"]])
                weight[1] *= 1.5  # it ends some answers
                weight[0] = 0.0  # a T5Gemma that caches nothing takes it for padding, also in an answer
            else:
                weight.normal_(std=3.0 * weight.shape[1] ** -0.5)
                weight -= weight.mean(1, keepdim=True)  # what all activations have in common drowns the rest
        for name, buffer in model.named_buffers():
            if name == "final_logits_bias":
                buffer.normal_(std=0.1)
    return model


def enlivened_vector(name: str, weight: torch.Tensor) -> None:
    """Gains that are not 1 everywhere, stored less 1 or not, and biases that are not 0."""
    if name.endswith("bias"):
        weight.normal_(std=0.1)
    else:
        weight.add_(torch.empty_like(weight).uniform_(-0.5, 0.5))
