"""Losses over the vocabulary, in chunks of tokens.

The logits of a batch are its largest tensor: (N, V) floats for N target tokens.
They are made, used and, in the backward pass, made again chunk by chunk.
Letters: N target tokens of the batch, V vocabulary, d width of a decoder.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from hybrid.errors import EngineError
from hybrid.models.architectures import sizes_of

CHUNK_TOKENS = 8192
IGNORED = -100


@dataclass(frozen=True)
class Head:
    """What turns decoder states into logits: states * scale @ weight.T + bias, capped by a tanh or not."""

    weight: torch.Tensor  # (V, d)
    scale: float
    bias: torch.Tensor | None = None  # (V,), as BART and Marian have one
    softcap: float | None = None  # as Gemma 2 and T5Gemma have one

    @staticmethod
    def of(model: PreTrainedModel) -> "Head":
        """Take the head of a model, with the scale that its architecture gives it."""
        head = model.get_output_embeddings()
        assert isinstance(head, nn.Linear)
        try:
            scale = sizes_of(model.config).head_scale
        except EngineError:  # no family here covers it, and T5 alone has a scale
            scale = 1.0
        bias: torch.Tensor | None = getattr(model, "final_logits_bias", None)  # (1, V)
        softcap = getattr(model.config.get_text_config(decoder=True), "final_logit_softcapping", None)
        own = head.bias if bias is None else bias[0]
        return Head(head.weight, scale, own, softcap)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        bias = None if self.bias is None else self.bias.to(states.dtype)
        logits = F.linear(states * self.scale, self.weight.to(states.dtype), bias).float()
        return logits if self.softcap is None else (logits / self.softcap).tanh() * self.softcap


def token_losses(
    states: torch.Tensor,  # (N, d) student's decoder states
    labels: torch.Tensor,  # (N,) token ids, IGNORED where not scored
    head: Head,
    label_smoothing: float,
    teacher_states: torch.Tensor | None = None,  # (N, d_teacher)
    teacher_head: Head | None = None,
) -> torch.Tensor:
    """Sum over scored tokens, (3,): smoothed cross-entropy, plain cross-entropy, KL.

    KL is KL(teacher || student) in nats, zero without a teacher.
    """

    def chunk_losses(start: int, states: torch.Tensor) -> torch.Tensor:
        part = slice(start, start + CHUNK_TOKENS)
        scored = labels[part].ne(IGNORED)
        log_p = head.logits(states[part]).log_softmax(-1)  # (n, V)
        nll = -log_p.gather(1, labels[part].clamp_min(0)[:, None])[:, 0]
        smoothed = (1 - label_smoothing) * nll - label_smoothing * log_p.mean(-1)
        kl = torch.zeros_like(nll)
        if teacher_states is not None and teacher_head is not None:
            log_q = teacher_head.logits(teacher_states[part]).log_softmax(-1)
            kl = (log_q.exp() * (log_q - log_p)).sum(-1)
        return (torch.stack([smoothed, nll, kl]) * scored).sum(1)

    total = torch.zeros(3, device=states.device)
    for start in range(0, states.shape[0], CHUNK_TOKENS):
        # Recomputed in the backward pass: only one chunk's logits exist at a time.
        total = total + checkpoint(chunk_losses, start, states, use_reentrant=False, preserve_rng_state=False)
    return total
