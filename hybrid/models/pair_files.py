"""Configurations and tokenizers of a pair, read from its folder.

They are anybody's: each is checked for being one, and for fitting the models that it is of.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoConfig, PretrainedConfig, PreTrainedTokenizerFast

from hybrid.errors import PairError
from hybrid.format import printable
from hybrid.models.architectures import ARCHITECTURES, configuration
from hybrid.models.fused_model import HybridConfig
from hybrid.models.manifest import ANY_PAIR, checked, more_eos_ids, read_config
from hybrid.models.pair_format import ROLES, Role
from hybrid.models.references.configs import checked_config
from hybrid.schema import MODELS, Model


def read_configuration(folder: Path, role: Model, manifest: dict[str, Any]) -> PretrainedConfig:
    """Read the configuration of one model. Raises PairError, naming the file."""
    path = f"{role}/config.json"
    settings = read_config(folder, path, manifest)
    any_family = manifest.get("format") == ANY_PAIR
    try:
        if role != "hybrid":
            return _configuration(settings, any_family, str(folder / path))
        return _hybrid_configuration(settings, any_family, str(folder / path))
    except KeyError as error:
        reason = f"{error.args[0]} is missing"
    except (ValueError, TypeError) as error:
        reason = printable(str(error), 400)
    raise PairError(f"{folder / path} does not describe a model of a pair: {reason}.")


def _hybrid_configuration(settings: Mapping[str, Any], any_family: bool, what: str) -> HybridConfig:
    if settings.get("model_type") != HybridConfig.model_type:
        kind = f"{settings.get('model_type')!r:.40}"
        raise ValueError(f"model_type is {kind}, not {HybridConfig.model_type!r}")
    llm, slm = (settings[part] for part in ("llm", "slm"))
    if not isinstance(llm, dict) or not isinstance(slm, dict):
        raise ValueError("llm or slm is no JSON object")
    layer, switches = settings.get("layer"), [settings.get(name, False) for name in ("bridge", "standardize")]
    if layer is not None and (type(layer) is not int or not 1 <= layer <= 1000):
        raise ValueError(f"layer is {layer!r:.40}, no number of a block")
    for name, switch in zip(("bridge", "standardize"), switches, strict=True):
        if type(switch) is not bool:
            raise ValueError(f"{name} is {switch!r:.40}, neither true nor false")
    reader, writer = (_configuration(part, any_family, what) for part in (llm, slm))
    bridge, standardize = switches
    return HybridConfig(reader, writer, settings.get("fusion", "add"), layer, bridge, standardize)


def _configuration(settings: Mapping[str, Any], any_family: bool, what: str) -> PretrainedConfig:
    """Make transformers' configuration; of a family that no architecture file covers where any may be."""
    family = settings.get("model_type")
    if not any_family or (isinstance(family, str) and family in ARCHITECTURES):
        return configuration(settings)
    plain = checked_config(settings, what)
    config: PretrainedConfig = AutoConfig.for_model(plain.pop("model_type"), **plain)
    return config


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
