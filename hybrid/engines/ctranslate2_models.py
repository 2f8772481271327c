"""A pair's models for CTranslate2, see converted_models.

    model.bin, config.json                     as CTranslate2 writes them
    vocabulary.json or shared_vocabulary.json  the former of a decoder-only model

A converted model knows no words: its vocabulary is the ids, "0", "1", "2" and so on.
"""

import copy
import gc
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import ctranslate2
import torch
from ctranslate2.converters import TransformersConverter
from transformers import PreTrainedModel

from hybrid.engines.contract import EngineConfig
from hybrid.engines.converted_models import load_converted
from hybrid.errors import EngineError
from hybrid.models.architectures import ARCHITECTURES, decoder_of, sizes_of
from hybrid.models.bundle import Bundle
from hybrid.models.prompts import TextCodec
from hybrid.schema import Model

DECODER_ONLY = ("gpt2", "llama", "qwen2", "qwen3")  # Gemma's windows it reads otherwise than they are
TURNS = ("default", "linear")  # rotary positions that it computes as transformers does
MARIAN_PAD = "<pad>"  # CTranslate2 drops the last token of a Marian model, if that is its name


def load_model(config: EngineConfig, model: Model) -> ctranslate2.Translator | ctranslate2.Generator:
    """Return a model of the config's pair in its precision, from the cache or converted for it.

    Raises EngineError when CTranslate2 cannot run it.
    """

    def convert(bundle: Bundle, folder: Path) -> None:
        _convert(bundle.model(model), bundle.codec(model), config.dtype, folder)

    library = ("CTranslate2", "ctranslate2", ctranslate2.__version__)
    return load_converted(config, model, library, convert, partial(_load, config))


def _load(config: EngineConfig, folder: Path) -> ctranslate2.Translator | ctranslate2.Generator:
    kind = ctranslate2.Generator if (folder / "vocabulary.json").exists() else ctranslate2.Translator
    try:
        return kind(str(folder), compute_type=config.dtype, inter_threads=1, intra_threads=config.threads)
    except (RuntimeError, ValueError) as error:
        raise EngineError(f"CTranslate2 cannot load the model in {config.dtype}: {error}") from error


def _convert(model: PreTrainedModel, codec: TextCodec, dtype: str, folder: Path) -> None:
    """Write `model` as CTranslate2 reads it, its matrices as int8 or float32, into a new folder."""
    kind = model.config.model_type
    if not model.config.is_encoder_decoder:
        _check_decoder_only(model)
    own = copy.deepcopy(model).float()  # CTranslate2 scales weights where they lie, and it edits settings
    names = _Ids(own.config, codec)
    if kind == "marian":
        _pad_last(own, names)
    # T5 scales the states before a tied head; transformers has every head tied and its own field for that.
    own.config.tie_word_embeddings = kind in ARCHITECTURES and sizes_of(own.config).head_scale != 1.0
    own.config.normalize_before = getattr(own.config, "normalize_before", False)  # asked of every BART
    with tempfile.TemporaryDirectory() as settings:
        config = copy.deepcopy(model.config)
        config.dtype = torch.float32
        config.save_pretrained(settings)
        try:
            with _short_collections():
                _Converter(settings, own, names).convert(str(folder), quantization=dtype)
        except (ValueError, KeyError, NotImplementedError) as error:
            raise EngineError(
                f"CTranslate2 cannot convert a model of type {kind} ({error}); use --engine transformers."
            ) from error


@contextmanager
def _short_collections() -> Iterator[None]:
    """Keep the collector from what is loaded: a converter calls it once a layer, 25 s of a SmolLM2's 29 s."""
    frozen = gc.get_freeze_count()
    gc.freeze()
    try:
        yield
    finally:
        if not frozen:
            gc.unfreeze()


def _check_decoder_only(model: PreTrainedModel) -> None:
    """Raise EngineError where CTranslate2 4.8 would convert a model, and write other ids than it does."""
    kind, reason = model.config.model_type, ""
    turned = (getattr(model.config, "rope_parameters", None) or {}).get("rope_type", "default")
    if kind not in DECODER_ONLY:
        reason = "its family"
    elif turned not in TURNS:
        reason = f"rotary positions of the type {turned}"
    elif any(layer.self_attention.window for layer in decoder_of(model).layers):
        reason = "its windows"
    elif kind != "qwen3" and (about := sizes_of(model.config)).heads * about.head_width != about.d_model:
        reason = f"{about.heads} heads of {about.head_width} where the model's width is {about.d_model}"
    if reason:
        raise EngineError(
            f"The engine ctranslate2 does not run this {kind}, for {reason}; decoder-only families that it "
            f"runs are {', '.join(DECODER_ONLY)}; use --engine torch or --engine transformers."
        )


class _Ids:
    """What a converter asks of a tokenizer: here every token is called as its id."""

    def __init__(self, config: Any, codec: TextCodec) -> None:
        self.names = [str(token) for token in range(config.vocab_size)]
        unknown = codec.writer.unk_token_id
        unknown = codec.pad_id if unknown is None else unknown  # byte-level tokenizers need none
        self.pad_token, self.eos_token, self.unk_token, self.bos_token = (
            str(token)
            for token in (
                codec.pad_id, codec.eos_id, unknown,
                config.decoder_start_token_id if config.is_encoder_decoder else codec.pad_id,
            )
        )  # fmt: skip

    def get_vocab(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.names)}

    def convert_ids_to_tokens(self, token: int) -> str:
        return str(token)


def _pad_last(model: Any, names: _Ids) -> None:
    """Swap a Marian's padding with its last id, which CTranslate2 takes for padding and leaves out."""
    pad, last = int(model.config.pad_token_id), model.config.vocab_size - 1
    parts = (model.model.encoder.embed_tokens, model.model.decoder.embed_tokens, model.lm_head)
    weights = {part.weight.data_ptr(): part.weight.detach() for part in parts}  # tied ones once
    for rows in (*weights.values(), model.final_logits_bias[0]):
        rows[[pad, last]] = rows[[last, pad]]
    names.names[pad], names.names[last] = names.names[last], MARIAN_PAD


class _Converter(TransformersConverter):  # type: ignore[misc]  # ctranslate2 carries no types
    """CTranslate2's own converter of transformers models, for one that is in memory."""

    def __init__(self, settings: str, model: PreTrainedModel, names: _Ids) -> None:
        super().__init__(settings)
        self._model, self._names = model, names

    def _load(self) -> Any:
        spec = super()._load()
        if epsilon := getattr(self._model.config, "layer_norm_epsilon", None):
            spec.config.layer_norm_epsilon = epsilon  # it takes 1e-5 for that of every GPT-2
        return spec

    def load_model(self, *_: Any, **__: Any) -> PreTrainedModel:
        return self._model

    def load_tokenizer(self, *_: Any, **__: Any) -> _Ids:
        return self._names
