"""Configurations of a pair's models, read from its folder: anybody's, so each is checked before it is one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PretrainedConfig

from hybrid.errors import PairError
from hybrid.format import printable
from hybrid.models.architectures import ARCHITECTURES, configuration
from hybrid.models.hybrid_config import HybridConfig
from hybrid.models.manifest import ANY_PAIR, read_config
from hybrid.models.references.configs import checked_config
from hybrid.schema import Model


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
