"""The half that every hybrid shares: a frozen LLM reads, a projector carries over, the SLM's prompt is fused.

    prompt ids --LLM--> H (B, S, d_llm) --projector--> Z (B, S, d_slm)
    prompt ids --SLM embedding, or LLM embedding and bridge--> E (B, S, d_slm)
    fuse(E, Z): the fused prompt (B, S, d_slm)

Letters: B batch, S prompt tokens, T answer tokens.
"""

import copy
from abc import abstractmethod
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional
from transformers import AutoConfig, GenerationConfig, GenerationMixin, PretrainedConfig, PreTrainedModel

from hybrid.models.architectures import empty_model, new_model
from hybrid.models.fusion import FUSIONS, Fusion, Projector, ReadLayers, fuse, layer_numbers
from hybrid.models.reading import SpreadReader, devices_of, new_encoder, read_states, share_weights


class HybridConfig(PretrainedConfig):
    """Configuration of a pair.

    llm: configuration of the model that reads: an encoder, an encoder-decoder of
        which the encoder is used, or a decoder-only model.
    slm: configuration of the model that writes, encoder-decoder or decoder-only.
    fusion: `add` (E + Z) or `replace` (Z).
    layer: number of the LLM's block whose output is read, or numbers of several, whose outputs stand
        side by side in H; its last hidden states when None.
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
        layer: ReadLayers = None,
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
        numbers = layer_numbers(layer)
        self.layer: ReadLayers = numbers if len(numbers) > 1 else next(iter(numbers), None)
        self.bridge, self.standardize = bridge, standardize
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


class Hybrid(PreTrainedModel, GenerationMixin):
    """What every hybrid is made of, whatever kind its SLM is of; see pair."""

    config_class = HybridConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    _supports_sdpa = True
    _supports_cache_class = True

    def __init__(self, config: HybridConfig) -> None:
        super().__init__(config)
        self.llm: PreTrainedModel | SpreadReader = new_encoder(config.llm, config.layer)
        self.slm = new_model(config.slm)
        width = _embeddings(self.slm).shape[1]
        self.projector = Projector(self._llm_width(), width, config.standardize)
        self.bridge: nn.Linear | None = None
        if config.bridge:
            self.bridge = nn.Linear(_embeddings(self.llm).shape[1], width, bias=False)
        self.llm.requires_grad_(False)
        self.generation_config = GenerationConfig.from_model_config(config)
        self.post_init()  # type: ignore[no-untyped-call]

    @staticmethod
    def from_parts(
        llm: PreTrainedModel,
        slm: PreTrainedModel,
        fusion: Fusion = "add",
        layer: ReadLayers = None,
        bridge: bool = False,
        standardize: bool = False,
    ) -> "Hybrid":
        """Make a pair of two existing models, which it shares; projector and bridge are new.

        llm: an encoder, an encoder-decoder or a decoder-only model. The others: of HybridConfig.
        Raises ValueError when it has no such layer.
        """
        text = getattr(llm.config, "text_config", llm.config)  # of a model that sees images, too
        config = HybridConfig(text, slm.config, fusion, layer, bridge, standardize)
        pair = cast(Hybrid, empty_model(config))  # the models are there already
        pair.share_encoder(llm)
        pair.slm = slm
        for part in (pair.projector, pair.bridge):
            if part is not None:
                part.to_empty(device="cpu").apply(pair._init_weights)
        return pair

    def share_encoder(self, llm: PreTrainedModel) -> None:
        """Read with the weights of `llm`, held in memory once. Raises ValueError when they do not fit."""
        if devices_of(llm):
            self.llm = SpreadReader(llm, self.config.layer)
        else:
            assert isinstance(self.llm, PreTrainedModel), "see __init__"
            share_weights(self.llm, llm)

    def train(self, mode: bool = True) -> "Hybrid":
        """Training mode for what is trained; the LLM only ever reads."""
        super().train(mode)
        self.llm.eval()
        return self

    def trainable(self) -> dict[str, nn.Parameter]:
        """Return the parameters that training may change, by name: projector, bridge and SLM."""
        return {name: p for name, p in self.named_parameters() if not name.startswith("llm.")}

    def _llm_width(self) -> int:
        return int(self.llm.config.hidden_size) * max(1, len(layer_numbers(self.config.layer)))

    def _init_weights(self, module: nn.Module) -> None:
        # The models initialize themselves; only the projector and the bridge are ours.
        if isinstance(module, Projector):
            for layer in (module.up, module.down):
                nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
                nn.init.zeros_(layer.bias)
            if module.shift is not None and module.gain is not None:
                nn.init.zeros_(module.shift)
                nn.init.ones_(module.gain)
        elif module is self.bridge and self.bridge is not None:
            # Embeddings have about a variance of 1 a channel in T5 and of 1e-3 or less elsewhere.
            nn.init.normal_(self.bridge.weight, std=self.bridge.in_features**-0.5)

    def get_input_embeddings(self) -> nn.Module:
        return self.slm.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module | None:
        return cast(nn.Module | None, self.slm.get_output_embeddings())

    def read(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Compute the LLM's hidden states of the prompt, (B, S, d_llm); never trained.

        Padding may stand at either side of a prompt, (B, S).
        """
        order = tokens_first(attention_mask)  # so that a token's position does not depend on padding
        with torch.no_grad():
            ids, mask = input_ids.gather(1, order), attention_mask.gather(1, order)
            states = read_states(self.llm, self.config.layer, input_ids=ids, attention_mask=mask)
        return take_rows(states, order.argsort(1))

    def embed(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Give E, (B, S, d_slm): the SLM's embeddings of the prompt, or the bridge's of the LLM's."""
        if self.bridge is not None:
            # The matrix itself: what a family multiplies it by, the bridge learns.
            known = _embeddings(self.llm)
            rows = functional.embedding(input_ids.to(known.device), known)
            return cast(torch.Tensor, self.bridge(rows.to(_embeddings(self.slm))))
        # Marian multiplies what it looks up only in the encoder, which is given embeddings here.
        scale = getattr(self.slm.get_encoder(), "embed_scale", 1.0)
        return cast(torch.Tensor, self.slm.get_input_embeddings()(input_ids) * scale)

    @torch.no_grad()
    def prompt_embeddings(self) -> torch.Tensor:
        """Give the (V, d_slm) matrix that E is looked up in by the prompt's ids."""
        known = _embeddings(self.slm if self.bridge is None else self.llm)
        return self.embed(torch.arange(len(known), device=known.device))

    def fused_prompt(
        self,
        input_ids: torch.Tensor,  # (B, S)
        attention_mask: torch.Tensor | None = None,  # (B, S)
        llm_hidden_states: torch.Tensor | None = None,  # (B, S, d_llm)
    ) -> torch.Tensor:
        """Fuse E and Z, (B, S, d_slm), zero at padding.

        llm_hidden_states: use these in place of reading the prompt; controls
        feed zeros or another prompt's latent here.
        """
        mask = self._mask(input_ids, attention_mask)
        if llm_hidden_states is None:
            llm_hidden_states = self.read(input_ids, mask)
        embeddings = self.embed(input_ids)
        latent = self.projector(llm_hidden_states.to(embeddings.dtype))
        return fuse(embeddings, latent, mask, self.config.fusion)

    @abstractmethod
    def answer_states(
        self,
        input_ids: torch.Tensor,  # (B, S)
        attention_mask: torch.Tensor | None,  # (B, S)
        answer_ids: torch.Tensor,  # (B, T)
        llm_hidden_states: torch.Tensor | None = None,  # (B, S, d_llm)
    ) -> torch.Tensor:
        """Compute the hidden states, (B, T, d_slm), from which the SLM's head predicts each of `answer_ids`.

        Teacher forcing: each is predicted from those before it. Answers are padded
        behind their end, with any id or IGNORED.
        """

    def _mask(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
        """Take the mask given, or the one that the LLM's id of padding makes."""
        if attention_mask is not None:
            return attention_mask
        pad, eos = self.config.llm.pad_token_id, self.config.llm.eos_token_id
        if pad is None or pad in (eos if isinstance(eos, list) else [eos]):  # then it may end a prompt
            return torch.ones_like(input_ids)
        return input_ids.ne(pad).long()


def _embeddings(model: PreTrainedModel | SpreadReader) -> torch.Tensor:
    """Give the (V, any) matrix of a model's input ids."""
    return cast(nn.Embedding, model.get_input_embeddings()).weight


def tokens_first(mask: torch.Tensor) -> torch.Tensor:
    """Give the places of a (B, S) mask in the order that puts tokens first, padding last."""
    return mask.argsort(dim=1, descending=True, stable=True)


def take_rows(rows: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """(B, S, d) rows and (B, N) places: (B, N, d)."""
    return rows.gather(1, places[..., None].expand(-1, -1, rows.shape[-1]))
