"""A pair's models for CTranslate2: converted once, and kept in the user's cache folder.

    <cache>/ctranslate2/<weights>-<int8|float32>-<version of CTranslate2>/
        model.bin, config.json, shared_vocabulary.json    as CTranslate2 writes them
        sha256                                            of these

A converted model knows no words: its vocabulary is the ids, "0", "1", "2" and so on.
"""

import copy
import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ctranslate2
import torch
from ctranslate2.converters import TransformersConverter
from transformers import PreTrainedModel

from hybrid.engines.contract import EngineConfig
from hybrid.errors import EngineError
from hybrid.models.architectures import ARCHITECTURES, sizes_of
from hybrid.models.prompts import TextCodec
from hybrid.schema import Model, Status
from hybrid.store.files import make_private
from hybrid.store.folders import cache_folder

CHECKSUMS = "sha256"
MARIAN_PAD = "<pad>"  # CTranslate2 drops the last token of a Marian model, if that is its name


def load_translator(config: EngineConfig, model: Model) -> ctranslate2.Translator:
    """Return a model of the config's pair in its precision, from the cache or converted for it.

    Where nothing can be kept, or the weights will not come again, it is
    converted in a temporary folder. Raises EngineError when CTranslate2 cannot run it.
    """

    def convert(folder: Path) -> None:
        config.observer(Status(sentence=f"Converting the {model} for CTranslate2"))
        bundle = config.source.bundle([model])
        _convert(bundle.model(model), bundle.codec(model), config.dtype, folder)

    weights = config.source.weights_sha256(model)
    if weights is not None:
        root = cache_folder() / "ctranslate2"
        folder = root / f"{weights[:32]}-{config.dtype}-{ctranslate2.__version__}"
        try:
            _keep(folder, convert, config)
            return _load(folder, config)
        except OSError as error:
            reason = f"{root} cannot be used ({error.strerror}); HYBRID_CACHE names another folder"
            config.observer(Status(sentence=reason))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        convert(folder)
        return _load(folder, config)


def _load(folder: Path, config: EngineConfig) -> ctranslate2.Translator:
    try:
        return ctranslate2.Translator(
            str(folder), compute_type=config.dtype, inter_threads=1, intra_threads=config.threads
        )
    except (RuntimeError, ValueError) as error:
        raise EngineError(f"CTranslate2 cannot load the model in {config.dtype}: {error}") from error


def _keep(folder: Path, convert: Callable[[Path], None], config: EngineConfig) -> None:
    """Put the converted model into `folder`, unless it lies there unharmed. Raises OSError when it cannot."""
    if folder.exists():
        if _checksums(folder) == _read(folder / CHECKSUMS):
            return
        config.observer(Status(sentence=f"{folder} is damaged and made anew"))
        shutil.rmtree(folder)
    make_private(folder.parent)
    with tempfile.TemporaryDirectory(dir=folder.parent) as beside:
        converted = Path(beside) / folder.name
        convert(converted)
        (converted / CHECKSUMS).write_text(_checksums(converted), "utf-8")
        try:
            converted.rename(folder)
        except OSError:
            if not folder.exists():  # else another process was faster
                raise


def _checksums(folder: Path) -> str:
    lines = []
    for path in sorted(path for path in folder.iterdir() if path.name != CHECKSUMS):
        with path.open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n")
    return "".join(lines)


def _read(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""


def _convert(model: PreTrainedModel, codec: TextCodec, dtype: str, folder: Path) -> None:
    """Write `model` as CTranslate2 reads it, its matrices as int8 or float32, into a new folder."""
    kind = model.config.model_type
    if not model.config.is_encoder_decoder:
        raise EngineError(
            f"The engine ctranslate2 runs encoder-decoder models, and a {kind} is decoder-only; "
            "use --engine torch or --engine transformers."
        )
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
            _Converter(settings, own, names).convert(str(folder), quantization=dtype)
        except (ValueError, KeyError, NotImplementedError) as error:
            raise EngineError(
                f"CTranslate2 cannot convert a model of type {kind} ({error}); use --engine transformers."
            ) from error


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
                config.decoder_start_token_id,
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

    def load_model(self, *_: Any, **__: Any) -> PreTrainedModel:
        return self._model

    def load_tokenizer(self, *_: Any, **__: Any) -> _Ids:
        return self._names
