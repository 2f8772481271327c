"""What a hybrid is made of, as transformers' configuration."""

import copy
from typing import Any

from transformers import AutoConfig, PretrainedConfig

from hybrid.models.fusion import FUSIONS, Fusion


class HybridConfig(PretrainedConfig):
    """Configuration of a pair.

    llm: configuration of the model that reads: an encoder, an encoder-decoder of
        which the encoder is used, or a decoder-only model.
    slm: configuration of the model that writes, encoder-decoder or decoder-only.
    fusion: `add` (E + Z) or `replace` (Z).
    layer: number of the LLM's block whose output is read; its last hidden states when None.
    bridge: whether E is made of the LLM's embeddings, for two models with tokenizers of their own.
    standardize: whether the projector brings each channel of H to mean 0 and deviation 1.
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
        layer: int | None = None,
        bridge: bool = False,
        standardize: bool = False,
        **kwargs: Any,
    ) -> None:
        if llm is None or slm is None:
            raise ValueError("HybridConfig needs the configurations of both models: llm and slm")
        if fusion not in FUSIONS:
            raise ValueError(f"fusion is {fusion!r}; available: {', '.join(FUSIONS)}")
        self.llm, self.slm = _as_config(llm), _as_config(slm)
        self.fusion: Fusion = fusion
        self.layer, self.bridge, self.standardize = layer, bridge, standardize
        kwargs.setdefault("is_encoder_decoder", self.slm.is_encoder_decoder)
        for key in ("pad_token_id", "eos_token_id", "decoder_start_token_id"):
            kwargs.setdefault(key, getattr(self.slm, key, None))
        super().__init__(**kwargs)

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> PretrainedConfig:
        """Return the configuration that sizes the KV cache: the SLM's."""
        return self.slm.get_text_config(decoder=decoder, encoder=encoder)


def _as_config(stored: PretrainedConfig | dict[str, Any]) -> PretrainedConfig:
    if isinstance(stored, PretrainedConfig):
        return copy.deepcopy(stored)  # models edit the configuration they are built from
    settings = dict(stored)
    config: PretrainedConfig = AutoConfig.for_model(settings.pop("model_type"), **settings)
    return config
