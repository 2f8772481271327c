"""The hybrid as one transformers model: a frozen LLM reads, a projector carries over, an SLM writes.

    encoder-decoder SLM: fused prompt --SLM encoder--> (B, S, d_slm) --SLM decoder--> answer ids
    decoder-only SLM:    fused prompt, the prefix of the answer --SLM--> answer ids

Bergner et al. 2024, arXiv 2402.16844; see fused_model for what stands before. Letters:
B batch, S prompt tokens, T answer tokens, V vocabulary.
"""

import copy
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedConfig
from transformers.modeling_outputs import BaseModelOutput, CausalLMOutput, Seq2SeqLMOutput

from hybrid.models.architectures import ARCHITECTURES
from hybrid.models.fused_model import Hybrid, HybridConfig, take_rows, tokens_first

__all__ = ["Hybrid", "HybridConfig", "HybridForCausalLM", "HybridForConditionalGeneration", "hybrid_model"]

IGNORED = -100  # a label that is not scored


class HybridForConditionalGeneration(Hybrid):
    """A frozen LLM reads the prompt once; a fine-tuned encoder-decoder SLM writes."""

    def __init__(self, config: HybridConfig) -> None:
        super().__init__(config)
        # Held outside the module tree: it owns no parameters of its own.
        object.__setattr__(self, "_reader", _FusedEncoder(self))

    def get_encoder(self, *_: Any, **__: Any) -> nn.Module:
        """Return what generate() runs once over the prompt: LLM, projector, fusion, SLM encoder."""
        return cast(nn.Module, self.__dict__["_reader"])

    def encode(
        self,
        input_ids: torch.Tensor,  # (B, S)
        attention_mask: torch.Tensor | None = None,  # (B, S)
        llm_hidden_states: torch.Tensor | None = None,  # (B, S, d_llm)
    ) -> torch.Tensor:
        """Run the fused prompt through the SLM's encoder, (B, S, d_slm)."""
        mask = self._mask(input_ids, attention_mask)
        fused = self.fused_prompt(input_ids, mask, llm_hidden_states)
        order = tokens_first(mask)
        outputs = self.slm.get_encoder()(
            inputs_embeds=take_rows(fused, order), attention_mask=mask.gather(1, order)
        )
        return take_rows(outputs.last_hidden_state, order.argsort(1))

    def _prepare_cache_for_generation(self, *arguments: Any, **more: Any) -> Any:
        # The SLM's own: a T5Gemma attends to all of a prompt, of which one of windows drops the beginning.
        return cast(Any, self.slm)._prepare_cache_for_generation(*arguments, **more)

    def answer_states(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None,
        answer_ids: torch.Tensor,
        llm_hidden_states: torch.Tensor | None = None,
    ) -> torch.Tensor:
        mask = self._mask(input_ids, attention_mask)
        outputs = self.slm.get_decoder()(
            input_ids=cast(Any, self.slm).prepare_decoder_input_ids_from_labels(answer_ids),
            encoder_hidden_states=self.encode(input_ids, mask, llm_hidden_states),
            encoder_attention_mask=mask,
            use_cache=False,
        )
        return cast(torch.Tensor, outputs.last_hidden_state)

    def forward(
        self,
        input_ids: torch.Tensor | None = None,  # (B, S)
        attention_mask: torch.Tensor | None = None,  # (B, S)
        decoder_input_ids: torch.Tensor | None = None,  # (B, T)
        labels: torch.Tensor | None = None,  # (B, T), -100 where not scored
        encoder_outputs: BaseModelOutput | tuple[torch.Tensor, ...] | None = None,
        llm_hidden_states: torch.Tensor | None = None,  # (B, S, d_llm)
        **kwargs: Any,
    ) -> Seq2SeqLMOutput:
        """Next-token logits (B, T, V), and the loss when labels are given."""
        if encoder_outputs is None:
            if input_ids is None:
                raise ValueError("give input_ids or encoder_outputs")
            attention_mask = self._mask(input_ids, attention_mask)
            encoder_outputs = BaseModelOutput(
                last_hidden_state=self.encode(input_ids, attention_mask, llm_hidden_states)
            )
        output = self.slm(
            encoder_outputs=encoder_outputs,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            labels=labels,
            **kwargs,
        )
        return cast(Seq2SeqLMOutput, output)


class HybridForCausalLM(Hybrid):
    """A frozen LLM reads the prompt once; a fine-tuned decoder-only SLM writes behind the fused prompt."""

    def answer_states(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None,
        answer_ids: torch.Tensor,
        llm_hidden_states: torch.Tensor | None = None,
    ) -> torch.Tensor:
        mask = self._mask(input_ids, attention_mask)
        return self.continued(self.fused_prompt(input_ids, mask, llm_hidden_states), mask, answer_ids)

    def continued(
        self,
        prompt: torch.Tensor,  # (B, S, d_slm)
        mask: torch.Tensor,  # (B, S)
        answer_ids: torch.Tensor,  # (B, T)
    ) -> torch.Tensor:
        """Compute answer_states() of a fused prompt, in its dtype."""
        rows = self._with_answers(prompt, mask, answer_ids)
        outputs = self.slm.get_decoder()(
            inputs_embeds=rows, attention_mask=causal_mask(self.config.slm, rows), use_cache=False
        )
        return take_rows(outputs.last_hidden_state, _predicting(mask, answer_ids))

    def forward(
        self,
        input_ids: torch.Tensor,  # (B, S)
        attention_mask: torch.Tensor | None = None,  # (B, S)
        answer_ids: torch.Tensor | None = None,  # (B, T)
        labels: torch.Tensor | None = None,  # (B, T), -100 where not scored
        llm_hidden_states: torch.Tensor | None = None,  # (B, S, d_llm)
    ) -> CausalLMOutput:
        """Logits (B, T, V) that predict `answer_ids`, or the labels; the loss when labels are given."""
        answer_ids = labels if answer_ids is None else answer_ids
        if answer_ids is None:
            raise ValueError("give answer_ids or labels")
        mask = self._mask(input_ids, attention_mask)
        rows = self._with_answers(self.fused_prompt(input_ids, mask, llm_hidden_states), mask, answer_ids)
        outputs = self.slm(inputs_embeds=rows, use_cache=False)
        logits = take_rows(outputs.logits, _predicting(mask, answer_ids))
        loss = None
        if labels is not None:
            loss = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
        return CausalLMOutput(loss=cast(Any, loss), logits=cast(Any, logits))

    @torch.no_grad()
    def generate(  # type: ignore[override]
        self,
        input_ids: torch.Tensor,  # (B, S)
        attention_mask: torch.Tensor | None = None,  # (B, S)
        llm_hidden_states: torch.Tensor | None = None,  # (B, S, d_llm)
        **kwargs: Any,
    ) -> Any:
        """Write answers as transformers' generate() does, with all its settings; gives the new ids only."""
        rows, mask = self.prefix(input_ids, attention_mask, llm_hidden_states)
        writer: Any = copy.copy(self.slm)  # the same weights, with the settings of this model
        writer.generation_config = self.generation_config
        return writer.generate(inputs_embeds=rows, attention_mask=mask, **kwargs)

    def prefix(
        self,
        input_ids: torch.Tensor,  # (B, S)
        attention_mask: torch.Tensor | None = None,  # (B, S)
        llm_hidden_states: torch.Tensor | None = None,  # (B, S, d_llm)
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the fused prompt, (B, S, d_slm), and its mask, (B, S), padding first: answers grow in step."""
        mask = self._mask(input_ids, attention_mask)
        rows = self.fused_prompt(input_ids, mask, llm_hidden_states)
        order = mask.argsort(dim=1, stable=True)
        return take_rows(rows, order), mask.gather(1, order)

    def _with_answers(
        self, prompt: torch.Tensor, mask: torch.Tensor, answer_ids: torch.Tensor
    ) -> torch.Tensor:
        """Put each answer right behind its prompt, (B, S + T - 1, d_slm), and all padding last.

        The causal mask then hides padding, and no position depends on it.
        """
        before = answer_ids[:, :-1].clamp_min(0)  # nothing is predicted from the last id
        embeddings = self.slm.get_input_embeddings()(before)
        rows = torch.cat([prompt, embeddings.to(prompt.dtype)], dim=1)
        return take_rows(rows, tokens_first(torch.cat([mask, torch.ones_like(before)], dim=1)))


def causal_mask(config: PreTrainedConfig, rows: torch.Tensor) -> torch.Tensor | None:
    """Give a ready mask, (1, 1, N, N), for rows (B, N, d) without padding; None where one will not do.

    Without one transformers looks for packed rows in the positions, on the host or by a mask of its own.
    Layers with windows need several, and families without a file may count positions in a mask.
    """
    text = config.get_text_config()
    if getattr(text, "sliding_window", None) or text.model_type not in ARCHITECTURES:
        return None
    length = rows.shape[1]
    return torch.ones(length, length, dtype=torch.bool, device=rows.device).tril()[None, None]


def hybrid_model(config: HybridConfig) -> type[Hybrid]:
    """Give the class of a pair: by whether its SLM has an encoder."""
    return HybridForConditionalGeneration if config.slm.is_encoder_decoder else HybridForCausalLM


def _predicting(mask: torch.Tensor, answer_ids: torch.Tensor) -> torch.Tensor:
    """(B, T) where the states stand that predict the answers: from each prompt's last token on."""
    steps = torch.arange(answer_ids.shape[1], device=mask.device)
    return mask.long().sum(1, keepdim=True) - 1 + steps


class _FusedEncoder(nn.Module):
    """The reading half behind the interface generate() expects of an encoder."""

    main_input_name = "input_ids"

    def __init__(self, pair: HybridForConditionalGeneration) -> None:
        super().__init__()
        object.__setattr__(self, "_pair", pair)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        llm_hidden_states: torch.Tensor | None = None,
        **_: Any,
    ) -> BaseModelOutput:
        pair = cast(HybridForConditionalGeneration, self.__dict__["_pair"])
        return BaseModelOutput(last_hidden_state=pair.encode(input_ids, attention_mask, llm_hidden_states))


AutoConfig.register(HybridConfig.model_type, HybridConfig)
AutoModelForSeq2SeqLM.register(HybridConfig, HybridForConditionalGeneration)
AutoModelForCausalLM.register(HybridConfig, HybridForCausalLM)
