"""A Source for tests of engines, of models that are in memory already."""

from collections.abc import Collection, Mapping

from transformers import PretrainedConfig

from hybrid.models.bundle import ON_CPU, Bundle, Placement
from hybrid.models.prompts import TextCodec
from hybrid.schema import Device, Model


class BundleSource:
    """Models that are in memory already, and stay there as long as this is held."""

    def __init__(self, bundle: Bundle, hashes: Mapping[str, str] | None = None) -> None:
        self._bundle, self._hashes = bundle, hashes or {}
        self.name, self.max_prompt_tokens = bundle.name, bundle.max_prompt_tokens

    def codec(self, method: str) -> TextCodec:
        return self._bundle.codec(method)

    def spreads(self, device: Device, dtype: str) -> bool:
        return False

    def bundle(self, models: Collection[Model], placement: Placement = ON_CPU) -> Bundle:
        lacking = [model for model in models if model not in self._bundle.models]
        if lacking:
            raise KeyError(f"the pair {self.name} was given without {', '.join(lacking)}")
        return self._bundle

    def config(self, model: Model) -> PretrainedConfig:
        return self._bundle.model(model).config

    def weights_sha256(self, model: Model) -> str | None:
        return self._hashes.get(model)
