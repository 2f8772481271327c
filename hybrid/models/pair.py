"""The hybrid as one transformers model: frozen LLM encoder + projector + SLM.

    prompt ids --LLM encoder--> H (B, S, d_llm) --projector--> Z (B, S, d_slm)
    prompt ids --SLM embedding--> E (B, S, d_slm)
    fuse(E, Z) --SLM encoder--> (B, S, d_slm) --SLM decoder--> answer ids

Bergner et al. 2024, arXiv 2402.16844. Letters: B batch, S prompt tokens,
T answer tokens, V vocabulary.
"""

import copy
from typing import Any, cast

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSeq2SeqLM,
    GenerationConfig,
    GenerationMixin,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput

from hybrid.models.architectures import new_encoder, new_model
from hybrid.models.fusion import FUSIONS, Fusion, Projector, fuse


class HybridConfig(PretrainedConfig):
    """Configuration of a pair.

    llm: configuration of the model that reads (an encoder, or an
        encoder-decoder of which the encoder is used).
    slm: configuration of the encoder-decoder model that writes.
    fusion: `add` (E + Z) or `replace` (Z).
    """

    model_type = "llm-to-slm"
    is_composition = True
    has_no_defaults_at_init = True
    sub_configs = {"llm": AutoConfig, "slm": AutoConfig}

    def __init__(
        self,
        llm: PretrainedConfig | dict[str, Any] | None = None,
        slm: PretrainedConfig | dict[str, Any] | None = None,
        fusion: Fusion = "add",
        **kwargs: Any,
    ) -> None:
        if llm is None or slm is None:
            raise ValueError("HybridConfig needs the configurations of both models: llm and slm")
        if fusion not in FUSIONS:
            raise ValueError(f"fusion is {fusion!r}; available: {', '.join(FUSIONS)}")
        self.llm = _as_config(llm)
        self.slm = _as_config(slm)
        self.fusion: Fusion = fusion
        kwargs.setdefault("is_encoder_decoder", True)
        for key in ("pad_token_id", "eos_token_id", "decoder_start_token_id"):
            kwargs.setdefault(key, getattr(self.slm, key, None))
        super().__init__(**kwargs)

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> PretrainedConfig:
        """Return the configuration that sizes the KV cache: the SLM's."""
        return self.slm


def _as_config(stored: PretrainedConfig | dict[str, Any]) -> PretrainedConfig:
    if isinstance(stored, PretrainedConfig):
        return copy.deepcopy(stored)  # models edit the configuration they are built from
    settings = dict(stored)
    config: PretrainedConfig = AutoConfig.for_model(settings.pop("model_type"), **settings)
    return config


class HybridForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """A frozen LLM encoder reads the prompt once; a fine-tuned SLM writes."""

    config_class = HybridConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    _supports_sdpa = True
    _supports_cache_class = True

    def __init__(self, config: HybridConfig) -> None:
        super().__init__(config)
        self.llm = new_encoder(config.llm)
        self.projector = Projector(config.llm.hidden_size, config.slm.hidden_size)
        self.slm = new_model(config.slm)
        self.llm.requires_grad_(False)
        self.generation_config = GenerationConfig.from_model_config(config)
        # Held outside the module tree: it owns no parameters of its own.
        object.__setattr__(self, "_reader", _FusedEncoder(self))
        self.post_init()  # type: ignore[no-untyped-call]

    @classmethod
    def from_parts(
        cls, llm: PreTrainedModel, slm: PreTrainedModel, fusion: Fusion = "add"
    ) -> "HybridForConditionalGeneration":
        """Make a pair of two existing models; the projector is new.

        llm: an encoder, or an encoder-decoder whose encoder will be shared.
        """
        pair = cls(HybridConfig(llm.config, slm.config, fusion))
        pair.share_encoder(llm)
        pair.slm = slm
        return pair

    def share_encoder(self, llm: PreTrainedModel) -> None:
        """Read with the encoder weights of `llm`, held in memory once."""
        names = self.llm.state_dict().keys()
        weights = {name: tensor for name, tensor in llm.state_dict().items() if name in names}
        self.llm.load_state_dict(weights, assign=True)
        self.llm.requires_grad_(False)

    def train(self, mode: bool = True) -> "HybridForConditionalGeneration":
        """Training mode for the projector and the SLM; the LLM only ever reads."""
        super().train(mode)
        self.llm.eval()
        return self

    def trainable(self) -> dict[str, nn.Parameter]:
        """Return the parameters that training may change, by name: projector and SLM."""
        return {name: p for name, p in self.named_parameters() if not name.startswith("llm.")}

    def _init_weights(self, module: nn.Module) -> None:
        # The parts initialize themselves; only the projector's layers are ours.
        if isinstance(module, Projector):
            for layer in (module.up, module.down):
                nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
                nn.init.zeros_(layer.bias)

    def get_encoder(self, *_: Any, **__: Any) -> nn.Module:
        """Return what generate() runs once over the prompt: LLM, projector, fusion, SLM encoder."""
        return cast(nn.Module, self.__dict__["_reader"])

    def get_input_embeddings(self) -> nn.Module:
        return self.slm.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module | None:
        return cast(nn.Module | None, self.slm.get_output_embeddings())

    def read(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Compute the LLM's encoder hidden states of the prompt, (B, S, d_llm); never trained."""
        with torch.no_grad():
            outputs = self.llm(input_ids=input_ids, attention_mask=attention_mask)
        return cast(torch.Tensor, outputs.last_hidden_state)

    def encode(
        self,
        input_ids: torch.Tensor,  # (B, S)
        attention_mask: torch.Tensor | None = None,  # (B, S)
        llm_hidden_states: torch.Tensor | None = None,  # (B, S, d_llm)
    ) -> torch.Tensor:
        """Fused prompt through the SLM's encoder, (B, S, d_slm).

        llm_hidden_states: use these in place of reading the prompt; controls
        feed zeros or another prompt's latent here.
        """
        if attention_mask is None:
            attention_mask = input_ids.ne(self.config.pad_token_id).long()
        if llm_hidden_states is None:
            llm_hidden_states = self.read(input_ids, attention_mask)
        embeddings = self.slm.get_input_embeddings()(input_ids)
        latent = self.projector(llm_hidden_states.to(embeddings.dtype))
        fused = fuse(embeddings, latent, attention_mask, self.config.fusion)
        outputs = self.slm.get_encoder()(inputs_embeds=fused, attention_mask=attention_mask)
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
            if attention_mask is None:
                attention_mask = input_ids.ne(self.config.pad_token_id).long()
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
