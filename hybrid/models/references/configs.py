"""Whether a config.json, which may be anybody's, describes a model that can be built. Imports no torch."""

from collections.abc import Iterator, Mapping
from typing import Any

from hybrid.errors import PairError
from hybrid.format import printable
from hybrid.models.architectures import ARCHITECTURES, architecture_of

CODE = "auto_map"
HYBRID = "llm-to-slm"
# Bounds of a family that no architecture file covers: generous, and far below what would fill a memory.
LARGEST_NUMBER, LARGEST_WIDTH, MOST_LAYERS, MOST_PARTS = 2**40, 2**24, 1000, 4096
DEEPEST, MOST_NAMES, MOST_ITEMS, LONGEST_TEXT = 8, 100_000, 4096, 100_000
# How keys of widths, and of what is a row of a table, end.
WIDTHS = ("_size", "_dim", "_heads", "_labels", "_embeddings", "_positions", "_ctx", "d_model", "d_ff",
          "d_kv", "n_embd", "n_inner")  # fmt: skip
# Settings by which transformers runs or fetches something else than the model: taken out.
STEERING = ("attn_implementation", "_attn_implementation", "experts_implementation", "fusion_config",
            "kernel_config", "_name_or_path", "name_or_path")  # fmt: skip


def checked_config(config: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return what a model is built from. what: the file, for the message.

    Raises PairError for code of the model's own, a quantization that is not read
    here, a hybrid, and a value out of its bounds.
    """
    refuse_code(config, what)
    family = config.get("model_type")
    if not isinstance(family, str) or not family:
        raise PairError(f"{what} has no model_type, so that nothing tells which model it describes.")
    if family == HYBRID:
        raise PairError(f"{what} describes a hybrid, which is no model that a pair is made of.")
    if config.get("quantization_config"):
        method = config["quantization_config"]
        name = method.get("quant_method") if isinstance(method, dict) else method
        raise PairError(
            f"{what} describes weights quantized by {name!r:.40}, which are not read here; "
            "take the checkpoint in 16 or 32 bits, or as GGUF."
        )
    try:
        return _settings(family, config)
    except KeyError as error:
        reason = f"{error.args[0]} is missing"
    except (ValueError, TypeError) as error:
        reason = printable(str(error), 400)
    raise PairError(f"{what} does not describe a model that can be built: {reason}.")


def refuse_code(settings: Mapping[str, Any], what: str) -> None:
    """Raise PairError when a config names code of the model's own."""
    if CODE in settings:
        raise PairError(
            f"{what} names code of the model's own ({CODE}), which is never run here; "
            "take a checkpoint of a family that transformers knows."
        )


def _settings(family: str, config: Mapping[str, Any]) -> dict[str, Any]:
    plain = {key: value for key, value in config.items() if key not in STEERING}
    for place, value in _values("", plain):
        _check_value(place, value)
    if family in ARCHITECTURES:
        architecture_of(config).settings(config)
    return plain


def _values(place: str, value: Any, depth: int = 0) -> Iterator[tuple[str, Any]]:
    if depth > DEEPEST:
        raise ValueError(f"{place} is nested too deeply")
    if isinstance(value, dict | list):
        most = MOST_NAMES if isinstance(value, dict) else MOST_ITEMS
        if len(value) > most:
            raise ValueError(f"{place} has {len(value):,} values, and may have {most:,}")
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if key == CODE:
                raise ValueError(f"{place} names code of the model's own ({CODE})")
            yield from _values(f"{place}.{key}" if place else str(key), inner, depth + 1)
    else:
        yield place, value


def _check_value(place: str, value: Any) -> None:
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        raise ValueError(f"{place} has {len(value):,} characters, and may have {LONGEST_TEXT:,}")
    if type(value) is not int:
        return
    key = place.rpartition(".")[2]
    bound = LARGEST_NUMBER
    if key in ("n_layer", "depth") or (key.endswith("layers") and not key.startswith("max_")):
        bound = MOST_LAYERS
    elif key.endswith(WIDTHS):
        bound = LARGEST_WIDTH
    elif key.startswith(("num_", "n_")):  # of experts, stages, blocks: each is built
        bound = MOST_PARTS
    if abs(value) > bound:
        raise ValueError(f"{place} is {value:,}, and may be {bound:,}")
