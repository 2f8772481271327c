"""What one update computes: student and teacher over one batch, as one module.

One forward holds everything, so that a whole step can be captured as one graph.
Letters: B rows, S source tokens, T target tokens.
"""

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from hybrid.models.pair import HybridForConditionalGeneration
from hybrid.training.losses import IGNORED, Head, token_losses
from hybrid.training.recipe import Stage


class StageModule(nn.Module):
    """Losses of a student, with a frozen teacher where the stage has one."""

    def __init__(self, stage: Stage, student: PreTrainedModel, teacher: PreTrainedModel | None) -> None:
        super().__init__()
        self.student = student
        self.teacher = teacher.requires_grad_(False).eval() if teacher is not None else None
        self.read_by_teacher = stage.teacher is not None and stage.teacher == stage.reads_with
        self.start = int(student.config.decoder_start_token_id)
        self.kl_weight = stage.kl_weight
        self.label_smoothing = stage.label_smoothing

    def train(self, mode: bool = True) -> "StageModule":
        super().train(mode)
        if self.teacher is not None:
            self.teacher.eval()
        return self

    def forward(self, source: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Means over scored tokens, (4,): objective, smoothed and plain cross-entropy, KL."""
        shifted = shift_right(labels, self.start)
        taught, teacher_head, read = None, None, None
        if self.teacher is not None:
            with torch.no_grad():
                read = encode(self.teacher, source, mask)
                taught = decode(self.teacher, read, mask, shifted).flatten(0, 1)
            teacher_head = Head.of(self.teacher)
        writer = self.student
        if isinstance(writer, HybridForConditionalGeneration):
            states = writer.encode(source, mask, llm_hidden_states=read if self.read_by_teacher else None)
            writer = writer.slm
        else:
            states = encode(writer, source, mask)
        states = decode(writer, states, mask, shifted).flatten(0, 1)
        sums = token_losses(
            states, labels.flatten(), Head.of(writer), self.label_smoothing, taught, teacher_head
        )
        means = sums / labels.ne(IGNORED).sum()
        objective = (1 - self.kl_weight) * means[0] + self.kl_weight * means[2]
        return torch.cat([objective[None], means])


def compile_parts(module: StageModule) -> None:
    """Compile every repeated layer by itself, in place.

    All layers of a stack share one graph, so a 24-layer model starts in
    seconds where compiling it whole takes minutes for every bucket.
    """
    for part in module.modules():
        if isinstance(part, GradientCheckpointingLayer):
            part.compile(dynamic=True)


def shift_right(labels: torch.Tensor, start: int) -> torch.Tensor:
    """Return decoder inputs for labels, (B, T): the id `start`, then all but the last label."""
    shifted = torch.full_like(labels, start)
    shifted[:, 1:] = labels[:, :-1].masked_fill(labels[:, :-1] == IGNORED, 0)
    return shifted


def _embed(model: PreTrainedModel, ids: torch.Tensor) -> torch.Tensor:
    embedded: torch.Tensor = model.get_input_embeddings()(ids)
    # Under autocast the whole residual stream then stays in 16 bits.
    kind = ids.device.type
    return embedded.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else embedded


def _seen(mask: torch.Tensor) -> torch.Tensor:
    """(B, 1, 1, S): a ready mask, where a (B, S) one would be inspected on the host at every step."""
    return mask[:, None, None, :].bool()


def encode(model: PreTrainedModel, source: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Compute encoder hidden states, (B, S, d)."""
    output = model.get_encoder()(inputs_embeds=_embed(model, source), attention_mask=_seen(mask))
    states: torch.Tensor = output.last_hidden_state
    return states


def decode(
    model: PreTrainedModel, encoder_states: torch.Tensor, mask: torch.Tensor, decoder_ids: torch.Tensor
) -> torch.Tensor:
    """Compute decoder hidden states, (B, T, d); padding comes last, so the causal mask is enough."""
    length = decoder_ids.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
    output = model.get_decoder()(
        inputs_embeds=_embed(model, decoder_ids),
        attention_mask=causal[None, None],
        encoder_hidden_states=encoder_states,
        encoder_attention_mask=_seen(mask),
        use_cache=False,
    )
    states: torch.Tensor = output.last_hidden_state
    return states
