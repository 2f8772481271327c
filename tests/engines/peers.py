"""What the tests of the peer engines share: models with absolute positions, greedy by hand, counting."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    MarianConfig,
    MarianMTModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from hybrid.models import random_pair  # noqa: F401  it tells transformers of BART's and Marian's encoders
from hybrid.models.bundle import Bundle
from hybrid.models.pair import HybridForConditionalGeneration
from hybrid.models.pair_format import Role

LIMIT = 160
KINDS = {"bart": (BartConfig, BartForConditionalGeneration), "marian": (MarianConfig, MarianMTModel)}


def absolute_pair(kind: str, tokenizers: Mapping[Role, PreTrainedTokenizerFast]) -> Bundle:
    """A pair of random BARTs or Marians whose settings would force the end at the last id."""
    sizes = ((32, 9), (16, 11), (16, 3))  # with these seeds their answers vary
    llm, slm, own = (_random(kind, len(tokenizers["llm"]), width, seed) for width, seed in sizes)
    hybrid = HybridForConditionalGeneration.from_parts(llm.get_encoder(), own).eval()
    models = {"llm": llm, "slm": slm, "hybrid": hybrid}
    return Bundle(kind, {"max_prompt_tokens": LIMIT}, tokenizers, models)


def greedy(model: PreTrainedModel, prompt: Sequence[int], limit: int, stop: int | None) -> tuple[int, ...]:
    """The most likely id after each, without caches, padding or generate()."""
    ids = torch.tensor([prompt])
    written = [model.config.decoder_start_token_id]
    while len(written) <= limit and (len(written) == 1 or written[-1] != stop):
        with torch.no_grad():
            mask, so_far = torch.ones_like(ids), torch.tensor([written])
            logits = model(input_ids=ids, attention_mask=mask, decoder_input_ids=so_far).logits
        written.append(int(logits[0, -1].argmax()))
    return tuple(written[1:])


@contextmanager
def called(counts: Counter[str], **modules: nn.Module) -> Iterator[None]:
    """Counts how often modules are called, by the names they are given under."""
    hooks = [
        module.register_forward_pre_hook(lambda *_, name=name: counts.update([name]))
        for name, module in modules.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _random(kind: str, vocabulary: int, width: int, seed: int) -> PreTrainedModel:
    torch.manual_seed(seed)
    config_class, model_class = KINDS[kind]
    marian = kind == "marian"
    config = config_class(
        vocab_size=vocabulary, d_model=width, max_position_embeddings=256,
        encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=2 * width,
        decoder_layers=2, decoder_attention_heads=2, decoder_ffn_dim=2 * width,
        pad_token_id=0, bos_token_id=0, eos_token_id=1, decoder_start_token_id=0 if marian else 1,
        scale_embedding=marian, forced_eos_token_id=1,
    )  # fmt: skip
    model = model_class(config).eval()
    with torch.no_grad():
        model.final_logits_bias.normal_(std=0.1)
        for name, weight in model.named_parameters():
            if name.endswith("bias"):
                weight.normal_(std=0.1)
            elif weight.ndim == 1:
                weight.uniform_(0.5, 1.5)
            elif "shared" in name:
                weight.normal_(std=0.3 / (width**0.5 if marian else 1))
                weight[0] = 0  # padding; a Marian starts from it
            elif "embed_positions" in name:
                if not marian:  # whose positions are sines
                    weight.normal_()
            else:  # what crosses from the prompt is the same at every step: little of it, else ids repeat
                strong = not any(part in name for part in ("encoder_attn", "v_proj", "out_proj"))
                weight.normal_(std=(3 if strong else 1) * weight.shape[1] ** -0.5)
    return model
