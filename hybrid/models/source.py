"""Where an engine gets a pair from: read only when somebody needs it.

An engine that has built its graphs before needs no weights, and one that packs
its own copy of them need not keep the models: a Source holds them only as long
as somebody else does.
"""

import hashlib
import weakref
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from hybrid.models.bundle import Bundle, load_bundle
from hybrid.models.manifest import find_pair
from hybrid.models.prompts import TextCodec
from hybrid.schema import METHODS, Model, Observer, silent

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

    def bundle(self, models: Collection[Model]) -> Bundle:
        """Return a Bundle with at least these models; the same one as before while somebody holds it."""

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
        self._texts: Bundle | None = None  # without models: tokenizers are kept
        self.name = self._folder.name
        self.max_prompt_tokens = int(self.manifest["max_prompt_tokens"])

    def codec(self, method: str) -> TextCodec:
        if self._texts is None:
            held = self._held() if self._held else None
            empty = replace(held, models={}) if held else None
            self._texts = empty or load_bundle(self.name, self._folder.parent, self._observer, ())
        return self._texts.codec(method)

    def bundle(self, models: Collection[Model]) -> Bundle:
        held = self._held() if self._held else None
        if held is None or not set(models) <= held.models.keys():
            held = load_bundle(self.name, self._folder.parent, self._observer, models)
            self._held = weakref.ref(held)
        return held

    def weights_sha256(self, model: Model) -> str | None:
        files: Mapping[str, str] = self.manifest.get("sha256", {})
        files = {name: digest for name, digest in files.items() if name.partition("/")[0] in PARTS[model]}
        for role in PARTS[model]:  # of weights that lie elsewhere
            elsewhere = (self.manifest.get(role) or {}).get("files", {})
            files |= {f"{role}/{name}": digest for name, digest in elsewhere.items()}
        parts = sorted(files.items())
        return hashlib.sha256(repr(parts).encode()).hexdigest()


class BundleSource:
    """Models that are in memory already, and stay there as long as this is held."""

    def __init__(self, bundle: Bundle, hashes: Mapping[str, str] | None = None) -> None:
        self._bundle, self._hashes = bundle, hashes or {}
        self.name, self.max_prompt_tokens = bundle.name, bundle.max_prompt_tokens

    def codec(self, method: str) -> TextCodec:
        return self._bundle.codec(method)

    def bundle(self, models: Collection[Model]) -> Bundle:
        lacking = [model for model in models if model not in self._bundle.models]
        if lacking:
            raise KeyError(f"the pair {self.name} was given without {', '.join(lacking)}")
        return self._bundle

    def weights_sha256(self, model: Model) -> str | None:
        return self._hashes.get(model)


def models_of(methods: Collection[str]) -> tuple[Model, ...]:
    """Return the models that `methods` need, each once."""
    return tuple(dict.fromkeys(model for method in methods for model in METHODS[method].models))
