"""Where a model is: a pair here, a folder, an id of the Hugging Face Hub, or a GGUF file.

    en-de-49m-6m/slm               a model of a pair that is here
    ./my-model                     a folder in transformers' layout
    hub:org/name[@revision]        the Hub; org/name alone, too
    model.gguf                     a file of llama.cpp's format
    hub:org/name/model.gguf        the same on the Hub, @revision behind it

Weights are safetensors or GGUF, never pickles; code of a model's own is never run.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid.errors import PairError
from hybrid.format import listed
from hybrid.models.manifest import available_pairs, is_pair, zoos
from hybrid.models.pair_format import Role
from hybrid.models.references.checkpoint import Checkpoint, check_unchanged
from hybrid.schema import Observer, silent
from hybrid.store.folders import expanded

if TYPE_CHECKING:
    from hybrid.models.references.loading import load_model

__all__ = ["Checkpoint", "check_unchanged", "load_model", "resolve", "resolve_referred"]

HUB = "hub:"
HUB_ID = re.compile(r"([\w.-]+/[\w.-]+)(?:/([\w.-]+\.gguf))?(?:@([\w./-]+))?")  # model, file, revision


def __getattr__(name: str) -> Any:
    """Import what loads, and torch with it, when it is asked for."""
    if name != "load_model":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hybrid.models.references.loading import load_model

    return load_model


def resolve(reference: str, observer: Observer = silent, role: Role = "llm") -> Checkpoint:
    """Find a model, download it where it is on the Hub, and look at its files.

    observer: told licence and size before a download begins, and how far it is.
    role: which model of a pair is meant by the pair's name alone.
    Raises PairError, in one sentence, for what cannot be used here.
    """
    if reference.startswith(HUB):
        return _from_hub(reference.removeprefix(HUB), observer)
    path = expanded(Path(reference), f"The model is {reference!r}")
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
    except OSError as error:  # as for a name that is longer than any file's
        raise PairError(f"The model {reference[:200]!r} cannot be read: {error.strerror}.") from error
    on_hub = HUB_ID.fullmatch(reference)
    if reference.endswith(".gguf") and (is_file or on_hub is None or on_hub[2] is None):
        from hybrid.models.references.gguf_file import read_gguf

        return read_gguf(path, str(path.absolute()))
    name, _, part = reference.partition("/")
    own: Role | None = role if not part else "llm" if part == "llm" else "slm" if part == "slm" else None
    if own and is_pair(name):
        from hybrid.models.references.folder import read_pair_model

        return read_pair_model(name, own, observer)
    if reference and is_folder:
        from hybrid.models.references.folder import read_folder

        return read_folder(path, str(path.absolute()))
    if own and part:  # never asked for on the Hub, whose models called llm and slm are named with hub:
        places = listed([*map(str, zoos())])
        raise PairError(
            f"There is no model {reference}: {places} has no pair {name!r}; HYBRID_ZOO names the folder of "
            f"pairs that has it, and {HUB}{reference} would be a model of the Hub."
        )
    if reference.startswith((".", "/", "~")) or is_file or on_hub is None:
        raise PairError(
            f"There is no model {reference[:200]!r}; name a pair ({listed(list(available_pairs()), 5)}), a "
            "folder with config.json, an id of the Hub such as hub:org/name, or a GGUF file."
        )
    return _from_hub(reference, observer)


def resolve_referred(
    pair: str, role: Role, about: Mapping[str, Any], observer: Observer = silent
) -> Checkpoint:
    """Find the model that a pair refers to. about: Referred, as its manifest has it.

    Raises PairError, naming the pair, when it cannot be found or is not the one that the pair was made of.
    """
    reference, revision = str(about["reference"]), about.get("revision")
    try:
        checkpoint = resolve(f"{reference}@{revision}" if revision else reference, observer, role)
        check_unchanged(checkpoint, about.get("files", {}))
    except PairError as error:
        raise PairError(f"The {role} of {pair} lies elsewhere: {error}") from error
    return checkpoint


def _from_hub(address: str, observer: Observer) -> Checkpoint:
    from hybrid.models.references.hub import read_hub_model

    match = HUB_ID.fullmatch(address)
    if match is None:
        raise PairError(f"{HUB}{address[:200]} is no name like hub:org/name or hub:org/name@revision.")
    name, file, revision = match.groups()
    return read_hub_model(name, revision, observer, file)
