"""Tokenizers of a pair on disk: checked for being one, and for fitting the models that they are of."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import PretrainedConfig, PreTrainedTokenizerFast

from hybrid.errors import PairError
from hybrid.format import printable
from hybrid.models.manifest import checked, more_eos_ids
from hybrid.models.model_configs import read_configuration
from hybrid.models.pair_format import ROLES, Role
from hybrid.schema import MODELS

TRIAL = "Größe 12, naïve; 日本 🙂"  # some files are read, and fail in use
LARGEST_TOKENIZER = 64 * 2**20  # bytes; the largest in use, of 256,000 entries, has some 35 million
SHARED = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}  # of a pair of format 1


def load_tokenizer(path: Path, tokens: Mapping[str, str] | None = None) -> PreTrainedTokenizerFast:
    """Load a tokenizer from its tokenizer.json. tokens: what ends an answer, and so on; SHARED when None.

    Raises PairError.
    """
    named = SHARED if tokens is None else tokens
    try:
        backend = Tokenizer.from_file(str(path))
        backend.no_truncation()  # a file may ask for either
        backend.no_padding()
        lacking = [token for token in (tokens or {}).values() if backend.token_to_id(token) is None]
        if lacking:
            raise ValueError(f"it has no token {lacking[0]!r}")
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=backend, clean_up_tokenization_spaces=False, **named
        )
        tokenizer.decode(tokenizer.encode(TRIAL, add_special_tokens=False))
        return tokenizer
    except BaseException as error:  # tokenizers raises no class of its own, and panics beside Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise PairError(f"{path} is no tokenizer that can be read: {printable(str(error), 200)}.") from error


def read_tokenizers(folder: Path, manifest: dict[str, Any]) -> Mapping[Role, PreTrainedTokenizerFast]:
    """Load the tokenizers of the pair in `folder`: one for both where they have one file.

    Raises PairError, also when one of the models does not know its ids.
    """
    stated = manifest.get("tokenizers")
    if stated is None:
        return dict.fromkeys(ROLES, _shared_tokenizer(folder, manifest))
    loaded: dict[tuple[str, ...], PreTrainedTokenizerFast] = {}
    tokenizers: dict[Role, PreTrainedTokenizerFast] = {}
    for role in ROLES:
        file, eos, pad = (stated[role][key] for key in ("file", "eos", "pad"))
        path = checked(folder, file, manifest, LARGEST_TOKENIZER)
        key = (manifest["sha256"][file], eos, pad)
        if key not in loaded:
            loaded[key] = load_tokenizer(path, {"eos_token": eos, "pad_token": pad})
        tokenizers[role] = loaded[key]
        _check_size(
            path, loaded[key], role, read_configuration(folder, role, manifest), more_eos_ids(manifest, role)
        )
    return tokenizers


def _shared_tokenizer(folder: Path, manifest: dict[str, Any]) -> PreTrainedTokenizerFast:
    path = checked(folder, "tokenizer.json", manifest, LARGEST_TOKENIZER)
    tokenizer = load_tokenizer(path)
    largest = max(tokenizer.get_vocab().values())
    for role in MODELS:
        config = read_configuration(folder, role, manifest).get_text_config()
        known, vocabulary = (config.pad_token_id, config.eos_token_id), config.vocab_size
        if largest >= vocabulary or (tokenizer.pad_token_id, tokenizer.eos_token_id) != known:
            ids = f"up to {largest}, <pad> {tokenizer.pad_token_id}, </s> {tokenizer.eos_token_id}"
            raise PairError(
                f"{path} does not fit {role}/config.json: its ids are {ids}; the model's are up to "
                f"{vocabulary - 1}, <pad> {known[0]}, </s> {known[1]}."
            )
    return tokenizer


def _check_size(
    path: Path,
    tokenizer: PreTrainedTokenizerFast,
    role: Role,
    config: PretrainedConfig,
    more: Collection[int],
) -> None:
    ids, vocabulary = tokenizer.get_vocab().values(), config.get_text_config().vocab_size
    largest = max(*ids, *more)
    if largest >= vocabulary:
        raise PairError(
            f"{path} does not fit {role}/config.json: its ids are up to {largest}; the model's are up to "
            f"{vocabulary - 1}."
        )
