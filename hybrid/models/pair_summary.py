"""What there is to say of a pair before any of its models is loaded. Imports no torch."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from hybrid.errors import EngineError, PairError
from hybrid.format import layers_of, listed
from hybrid.models.manifest import (
    blocks_in,
    find_pair,
    layers_read,
    models_of_pair,
    one_tokenizer,
    read_config,
)
from hybrid.models.references.checkpoint import stated_licence
from hybrid.schema import METHODS, MODELS, Model, System

HYBRID = "hybrid"


def families(name: str) -> dict[str, str]:
    """Name the family of the LLM and of the SLM, by transformers' model_type. Raises PairError."""
    folder, manifest = find_pair(name)
    configs = {role: read_config(folder, f"{role}/config.json", manifest) for role in ("llm", "slm")}
    return {role: str(config.get("model_type")) for role, config in configs.items()}


def licences(name: str) -> str:
    """Tell the licence of a pair's models, as their sources state it. Raises PairError."""
    folder, manifest = find_pair(name)
    about = manifest.get("about")
    stated = about.get("licence") if isinstance(about, Mapping) else None
    if not isinstance(stated, Mapping):
        licence = stated_licence(folder / "README.md") or (stated if isinstance(stated, str) else "")
        return f"licence {licence or 'not stated'}"
    named = {role: str(stated.get(role) or "not stated") for role in ("llm", "slm")}
    if len(set(named.values())) == 1:
        return f"licence {named['llm']}"
    return f"licence {named['llm']} (llm), {named['slm']} (slm)"


def hybrid_of(name: str) -> str:
    """Say whether a pair has a hybrid, and which layers it reads where not all. Raises PairError."""
    folder, manifest = find_pair(name)
    if HYBRID not in models_of_pair(manifest):
        return "no hybrid yet"
    numbers = layers_read(folder, manifest)
    blocks = blocks_in(read_config(folder, "llm/config.json", manifest))
    return f"with a hybrid that reads {layers_of(numbers, blocks)}" if numbers else "with a hybrid"


def how_to_train(name: str, manifest: Mapping[str, Any]) -> str:
    """Say which command makes the hybrid of a pair that has none; empty where it has one."""
    if HYBRID in models_of_pair(manifest):
        return ""
    named = (f'[{role}] from = "{_reference(name, role, manifest)}"' for role in ("llm", "slm"))
    return (
        f"The hybrid of {name} does not exist yet: `hybrid train RECIPE` makes it, of a recipe with "
        f"{' and '.join(named)}."
    )


def able_systems(systems: Collection[System], manifest: Mapping[str, Any]) -> tuple[System, ...]:
    """Return those of `systems` whose models the pair has."""
    available = models_of_pair(manifest)
    return tuple(system for system in systems if set(METHODS[system.method].models) <= set(available))


def check_models(name: str, manifest: Mapping[str, Any], models: Collection[Model]) -> None:
    """Raise PairError, with the command that makes it, when the pair lacks one of these models."""
    available = models_of_pair(manifest)
    if not set(models) <= set(available):
        raise PairError(f"{how_to_train(name, manifest)} Until then there is its {listed(available)}.")


def check_methods(name: str, manifest: Mapping[str, Any], methods: Iterable[str]) -> None:
    """Raise EngineError for a method in which one model verifies the other's ids, of two tokenizers."""
    for method in methods:
        if METHODS[method].drafter in MODELS and not one_tokenizer(manifest):
            able = [other.name for other in METHODS.values() if other.drafter not in MODELS]
            raise EngineError(
                f"{METHODS[method].label} needs one tokenizer for both models, and the LLM and the SLM of "
                f"{name} have their own; available: {', '.join(able)}."
            )


def _reference(name: str, role: str, manifest: Mapping[str, Any]) -> str:
    about = manifest.get(role)
    if not isinstance(about, Mapping):
        return f"{name}/{role}"
    revision = f"@{about['revision']}" if about.get("revision") else ""
    return f"{about['reference']}{revision}"
