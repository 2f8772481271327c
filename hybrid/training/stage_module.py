"""What one update computes: student and teacher over one batch, as one module.

One forward holds everything, so that a whole step can be captured as one graph: nothing
in it looks at a value on the host.
Letters: B rows, S source tokens, T target tokens; R packed rows, L tokens a row, C scored tokens.
"""

from typing import Any, Protocol

import torch
import torch.fx.experimental._config
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from hybrid.models.fused_model import take_rows, tokens_first
from hybrid.models.pair import Hybrid, HybridForCausalLM, causal_mask
from hybrid.models.reading import SpreadReader, read_states, reads_causally
from hybrid.training.losses import IGNORED, Head, token_losses
from hybrid.training.recipe import Stage

# Encoder-decoder families that use a mask of four dimensions as it is.
READY_MASKS = ("t5", "mt5", "umt5", "bart", "mbart", "marian", "pegasus")


class PromptStates(Protocol):
    """What has been read already, by examples' places, see states.py."""

    def gather(self, rows: torch.Tensor, width: int) -> torch.Tensor: ...


class StageModule(nn.Module):
    """Losses of a student over padded batches, with a frozen teacher where the stage has one.

    prompt_states: what the hybrid's LLM has read already.
    """

    def __init__(
        self,
        stage: Stage,
        student: PreTrainedModel,
        teacher: PreTrainedModel | None,
        prompt_states: PromptStates | None = None,
    ) -> None:
        super().__init__()
        self.student = student
        self.teacher = teacher.requires_grad_(False).eval() if teacher is not None else None
        self.prompt_states = prompt_states
        same = stage.teacher is not None and stage.teacher == stage.reads_with
        self.read_by_teacher = same and teacher is not None and is_encoder_decoder(teacher)
        self.kl_weight = stage.kl_weight
        self.label_smoothing = stage.label_smoothing

    @property
    def capturable(self) -> bool:
        """Whether nothing in forward() looks at a value on the host."""
        writer = self.student.slm if isinstance(self.student, Hybrid) else self.student
        return all(takes_ready_masks(model) for model in (writer, self.teacher) if model is not None)

    def train(self, mode: bool = True) -> "StageModule":
        super().train(mode)
        if self.teacher is not None:
            self.teacher.eval()
        return self

    def forward(
        self, source: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor, rows: torch.Tensor
    ) -> torch.Tensor:
        """Means over scored tokens, (4,): objective, smoothed and plain cross-entropy, KL."""
        taught, teacher_head, read = None, None, None
        if self.teacher is not None:
            with torch.no_grad():
                if is_encoder_decoder(self.teacher):
                    read = encode(self.teacher, source, mask)
                    taught = decode(self.teacher, read, mask, labels).flatten(0, 1)
                else:
                    taught = continue_prompts(self.teacher, source, mask, labels).flatten(0, 1)
            teacher_head = Head.of(self.teacher)
        if isinstance(self.student, Hybrid):
            writer = self.student.slm
            latent = read if read is not None and self.read_by_teacher else None
            if latent is None:
                latent = self._read(self.student, source, mask, rows)
            states = hybrid_states(self.student, source, mask, labels, latent)
        else:
            writer = self.student
            states = decode(writer, encode(writer, source, mask), mask, labels)
        return self.losses(states.flatten(0, 1), labels.flatten(), Head.of(writer), taught, teacher_head)

    def losses(
        self,
        states: torch.Tensor,
        labels: torch.Tensor,
        head: Head,
        taught: torch.Tensor | None = None,
        teacher_head: Head | None = None,
    ) -> torch.Tensor:
        """Means over scored tokens, (4,), of the states before the head, (N, d), and labels (N,)."""
        sums = token_losses(states, labels, head, self.label_smoothing, taught, teacher_head)
        means = sums / labels.ne(IGNORED).sum().clamp_min(1)
        objective = (1 - self.kl_weight) * means[0] + self.kl_weight * means[2]
        return torch.cat([objective[None], means])

    def _read(
        self, pair: Hybrid, source: torch.Tensor, mask: torch.Tensor, rows: torch.Tensor
    ) -> torch.Tensor:
        if self.prompt_states is not None and self.training:
            return self.prompt_states.gather(rows, source.shape[1])
        return read_prompts(pair, source, mask)


class PackedModule(StageModule):
    """Losses of a decoder-only student over packed batches: of the answers' tokens alone."""

    def forward(  # type: ignore[override]
        self,
        tokens: torch.Tensor,  # (R, L)
        positions: torch.Tensor,  # (R, L)
        segments: torch.Tensor,  # (R, L)
        scored: torch.Tensor,  # (C,)
        labels: torch.Tensor,  # (C,)
    ) -> torch.Tensor:
        """Means over scored tokens, (4,): objective, smoothed and plain cross-entropy, KL."""
        before = self._states(self.student, tokens, positions, segments).index_select(0, scored)
        taught, teacher_head = None, None
        if self.teacher is not None:
            with torch.no_grad():
                taught = self._states(self.teacher, tokens, positions, segments).index_select(0, scored)
            teacher_head = Head.of(self.teacher)
        return self.losses(before, labels, Head.of(self.student), taught, teacher_head)

    @staticmethod
    def _states(
        model: PreTrainedModel, tokens: torch.Tensor, positions: torch.Tensor, segments: torch.Tensor
    ) -> torch.Tensor:
        """States before the head, (R * L, d)."""
        embedded = embed(model, tokens)
        length = tokens.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=tokens.device).tril()
        same = (
            segments[:, :, None] == segments[:, None, :]
        )  # empty places see each other, and nobody sees them
        hidden = torch.zeros(same.shape, dtype=embedded.dtype, device=tokens.device)
        hidden = hidden.masked_fill(~(same & causal), torch.finfo(embedded.dtype).min)
        output = model.get_decoder()(
            inputs_embeds=embedded, attention_mask=hidden[:, None], position_ids=positions, use_cache=False
        )
        states: torch.Tensor = output.last_hidden_state
        return states.flatten(0, 1)


def compile_parts(module: StageModule) -> None:
    """Compile every repeated layer by itself, in place.

    All layers of a stack share one graph, so a 24-layer model starts in
    seconds where compiling it whole takes minutes for every bucket.
    """
    torch._dynamo.config.recompile_limit = 64
    # Sizes that happen to be equal in the first bucket (rows and target tokens, say) are not taken
    # for one size: each would be compiled again for the first bucket in which they are not.
    torch.fx.experimental._config.use_duck_shape = False
    for part in module.modules():
        if isinstance(part, GradientCheckpointingLayer):
            # Its forward() alone, not the call around it: hooks, which read_states sets, stay as they are. In
            # a compiled call they would be traced, and nothing notices when they change
            # (torch._dynamo.config.skip_nnmodule_hook_guards).
            compiled = torch.compile(part.forward, dynamic=not isinstance(module, PackedModule))
            part.forward = compiled


def is_encoder_decoder(model: PreTrainedModel) -> bool:
    return bool(model.config.is_encoder_decoder)


def shift_right(labels: torch.Tensor, start: int) -> torch.Tensor:
    """Return decoder inputs for labels, (B, T): the id `start`, then all but the last label."""
    shifted = torch.full_like(labels, start)
    shifted[:, 1:] = labels[:, :-1].masked_fill(labels[:, :-1] == IGNORED, 0)
    return shifted


def embed(model: PreTrainedModel, ids: torch.Tensor) -> torch.Tensor:
    """Embed ids, (B, S, d); under autocast in 16 bits, and then so is the whole residual stream."""
    embedded: torch.Tensor = model.get_input_embeddings()(ids)
    return _in_autocast_dtype(embedded)


def encode(model: PreTrainedModel, source: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Compute encoder hidden states, (B, S, d)."""
    return encode_embedded(model, _scaled(model.get_encoder(), embed(model, source)), mask)


def encode_embedded(model: PreTrainedModel, embedded: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Compute encoder hidden states of embeddings, (B, S, d)."""
    seen = _seen(mask) if takes_ready_masks(model) else mask
    output = model.get_encoder()(inputs_embeds=embedded, attention_mask=seen)
    states: torch.Tensor = output.last_hidden_state
    return states


def decode(
    model: PreTrainedModel, encoder_states: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Compute decoder hidden states, (B, T, d); padding comes last, so the causal mask is enough."""
    decoder_ids, decoder = shift_right(labels, start_id(model.config)), model.get_decoder()
    length = decoder_ids.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
    ready = takes_ready_masks(model)
    output = decoder(
        inputs_embeds=_scaled(decoder, embed(decoder, decoder_ids)),
        attention_mask=causal[None, None] if ready else None,
        encoder_hidden_states=encoder_states,
        encoder_attention_mask=_seen(mask) if ready else mask,
        use_cache=False,
    )
    states: torch.Tensor = output.last_hidden_state
    return states


def continue_prompts(
    model: PreTrainedModel, source: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Compute what a decoder-only model predicts answers from, (B, T, d), each right behind its prompt."""
    before = labels[:, :-1].clamp_min(0)
    order = tokens_first(torch.cat([mask, torch.ones_like(before)], dim=1))
    rows = embed(model, torch.cat([source, before], dim=1).gather(1, order))
    seen = causal_mask(model.config, rows)
    states = model.get_decoder()(inputs_embeds=rows, attention_mask=seen, use_cache=False).last_hidden_state
    steps = torch.arange(labels.shape[1], device=mask.device)
    return take_rows(states, mask.long().sum(1, keepdim=True) - 1 + steps)


def hybrid_states(
    pair: Hybrid, source: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor, latent: torch.Tensor
) -> torch.Tensor:
    """Compute what a hybrid predicts answers from, (B, T, d_slm), given the LLM's states of the prompt."""
    fused = _in_autocast_dtype(pair.fused_prompt(source, mask, latent))
    if isinstance(pair, HybridForCausalLM):
        return pair.continued(fused, mask, labels)
    return decode(pair.slm, encode_embedded(pair.slm, fused, mask), mask, labels)


def read_prompts(pair: Hybrid, source: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Compute what a hybrid's LLM makes of prompts, (B, S, k * d_llm), in 16 bits under autocast.

    Padding is behind the tokens: a causal model needs no mask for it.
    """
    if isinstance(pair.llm, SpreadReader):
        return read_states(pair.llm, pair.config.layer, input_ids=source, attention_mask=mask)
    with torch.no_grad():
        embedded = _scaled(pair.llm, embed(pair.llm, source))
        seen = None if reads_causally(pair.config.llm) else _seen(mask)
        return read_states(pair.llm, pair.config.layer, inputs_embeds=embedded, attention_mask=seen)


def takes_ready_masks(model: PreTrainedModel) -> bool:
    """Tell whether masks can be given as the attention uses them, which captured graphs need."""
    return not is_encoder_decoder(model) or model.config.model_type in READY_MASKS


def start_id(config: Any) -> int:
    """Return the id that an encoder-decoder's decoder begins with."""
    start = getattr(config, "decoder_start_token_id", None)
    return int(config.decoder.bos_token_id if start is None else start)


def _scaled(stack: nn.Module, embedded: torch.Tensor) -> torch.Tensor:
    """Multiply embeddings as Marian does only for those that it looks up itself."""
    scale = getattr(stack, "embed_scale", 1.0)
    return embedded if scale == 1.0 else embedded * scale


def _in_autocast_dtype(embedded: torch.Tensor) -> torch.Tensor:
    kind = embedded.device.type
    return embedded.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else embedded


def _seen(mask: torch.Tensor) -> torch.Tensor:
    """(B, 1, 1, S): a ready mask, where a (B, S) one would be inspected on the host at every step."""
    return mask[:, None, None, :].bool()
