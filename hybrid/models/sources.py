"""The sources that engines take a pair from: read when somebody needs it, and held as long as somebody does.

An engine that has built its graphs before needs no weights, and one that packs a copy of them need not
keep the models.
"""

import hashlib
import weakref
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from transformers import PretrainedConfig

from hybrid.models.bundle import ON_CPU, Bundle, Placement, load_bundle
from hybrid.models.manifest import find_pair
from hybrid.models.pair_files import read_configuration
from hybrid.models.pair_summary import check_models
from hybrid.models.prompts import TextCodec
from hybrid.models.reading import needs_several
from hybrid.schema import METHODS, Device, Model, Observer, silent

# The folders of weights that a model is made of: the hybrid reads with the LLM's encoder.
PARTS: Mapping[str, tuple[str, ...]] = {"llm": ("llm",), "slm": ("slm",), "hybrid": ("llm", "hybrid")}


class Source(Protocol):
    """A pair. name: as a run records it. max_prompt_tokens: longest prompt that it reads."""

    @property
    def name(self) -> str: ...

    @property
    def max_prompt_tokens(self) -> int: ...

    def codec(self, method: str) -> TextCodec:
        """Give what makes prompts and texts for a method, of METHODS."""

    def bundle(self, models: Collection[Model], placement: Placement = ON_CPU) -> Bundle:
        """Return a Bundle with at least these models; the same one as before while somebody holds it.

        placement: of the LLM.
        """

    def spreads(self, device: Device, dtype: str) -> bool:
        """Tell whether the LLM goes to several GPUs in this precision: it fits on `device` no more."""

    def config(self, model: Model) -> PretrainedConfig:
        """Return a model's configuration, without reading weights."""

    def weights_sha256(self, model: Model) -> str | None:
        """One hash over everything that `model` is made of; None for weights that will not come again."""


class ZooSource:
    """A pair on disk, the first one of the zoo when no name is given.

    observer: told before each part is read. manifest:
    as pair.json holds it. Raises PairError when the pair is unknown; what is
    damaged is found on reading.
    """

    def __init__(
        self,
        name: str | None = None,
        root: Path | None = None,
        observer: Observer = silent,
    ) -> None:
        self._observer = observer
        self._folder, self.manifest = find_pair(name, root)
        self._held: weakref.ref[Bundle] | None = None
        self._placement = ON_CPU  # of what is held
        self._texts: Bundle | None = None  # without models: tokenizers are kept
        self.name = self._folder.name
        self.max_prompt_tokens = int(self.manifest["max_prompt_tokens"])

    def codec(self, method: str) -> TextCodec:
        if self._texts is None:
            held = self._held() if self._held else None
            empty = replace(held, models={}) if held else None
            self._texts = empty or load_bundle(self.name, self._folder.parent, self._observer, ())
        return self._texts.codec(method)

    def bundle(self, models: Collection[Model], placement: Placement = ON_CPU) -> Bundle:
        held = self._held() if self._held else None
        if held is None or not set(models) <= held.models.keys() or self._placement != placement:
            held = load_bundle(self.name, self._folder.parent, self._observer, models, placement)
            self._held, self._placement = weakref.ref(held), placement
        return held

    def spreads(self, device: Device, dtype: str) -> bool:
        if device.kind != "cuda" or device.ordinal is not None:  # a GPU that is named is the one
            return False
        return needs_several(int(self.manifest["parameters"]["llm"]), dtype)

    def config(self, model: Model) -> PretrainedConfig:
        check_models(self.name, self.manifest, [model])
        return read_configuration(self._folder, model, self.manifest)

    def weights_sha256(self, model: Model) -> str | None:
        files: Mapping[str, str] = self.manifest.get("sha256", {})
        files = {name: digest for name, digest in files.items() if name.partition("/")[0] in PARTS[model]}
        for role in PARTS[model]:  # of weights that lie elsewhere
            elsewhere = (self.manifest.get(role) or {}).get("files", {})
            files |= {f"{role}/{name}": digest for name, digest in elsewhere.items()}
        parts = sorted(files.items())
        return hashlib.sha256(repr(parts).encode()).hexdigest()


def models_of(methods: Collection[str]) -> tuple[Model, ...]:
    """Return the models that `methods` need, each once."""
    return tuple(dict.fromkeys(model for method in methods for model in METHODS[method].models))
