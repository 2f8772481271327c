"""Pretrained models that a recipe names by reference, each found once."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedModel

from hybrid.errors import PairError, RecipeError
from hybrid.models.context import positions_in
from hybrid.models.fusion import layer_numbers
from hybrid.models.manifest import blocks_in
from hybrid.models.pair_format import ROLES, Role
from hybrid.training.corpora import ROW_TOKENS
from hybrid.training.parts import read_layers

if TYPE_CHECKING:
    from hybrid.models.references import Checkpoint
    from hybrid.training.recipe import Recipe


@contextmanager
def named(reference: str, role: Role) -> Iterator[None]:
    """Turn a PairError into a RecipeError that says which model of the recipe it is about."""
    try:
        yield
    except PairError as error:
        raise RecipeError(f"[{role}] from = {reference!r}: {error}") from error


@lru_cache(maxsize=4)
def checkpoint_of(reference: str, role: Role) -> "Checkpoint":
    """Find what `from` of a recipe names. Raises RecipeError."""
    from hybrid.models.references import resolve

    with named(reference, role):
        return resolve(reference, role=role)


def pretrained(reference: str, role: Role, dtype: str = "float32", placement: str = "cpu") -> PreTrainedModel:
    """Load it. Raises RecipeError."""
    from hybrid.models.references import load_model

    with named(reference, role):
        return load_model(checkpoint_of(reference, role), dtype, placement)


def row_tokens(recipe: "Recipe", role: Role) -> int:
    """Say how many tokens a packed row of a decoder-only model has."""
    longest = positions_in(_config(recipe, role))
    return recipe.data.row_tokens or min(ROW_TOKENS, longest or ROW_TOKENS)


def check_fits(recipe: "Recipe") -> None:
    """Raise RecipeError when a model is another file, lacks a layer that is read, or has a short context."""
    for role in ROLES:
        reference = recipe.part(role).reference
        if reference is not None:
            _check_pinned(recipe, role, checkpoint_of(reference, role))
        _check_lengths(recipe, role)
    layers = [recipe.hybrid.layer, *(stage.layer for stage in recipe.stages)]
    last = max((number for layer in layers for number in layer_numbers(read_layers(layer))), default=0)
    blocks = blocks_in(_config(recipe, "llm"))
    if blocks is not None and last > blocks:
        raise RecipeError(f"layer is {last}; the LLM has blocks 1 to {blocks}.")


def _check_lengths(recipe: "Recipe", role: Role) -> None:
    """Raise RecipeError when a model has no positions for the recipe's texts."""
    config = _config(recipe, role)
    longest = positions_in(config)
    lengths = {"max_source": recipe.data.max_source}
    if not config.get("is_encoder_decoder"):
        if any(stage.trains == role for stage in recipe.stages):
            lengths["row_tokens"] = row_tokens(recipe, role)
        if role == "slm" or any(stage.answers_of for stage in recipe.stages):
            # The answer stands behind the prompt; nothing is computed from its last token.
            longest_pair = max(map(sum, recipe.data.buckets)) - 1
            lengths["data.buckets, a prompt and its answer,"] = longest_pair
    for name, value in lengths.items():
        if longest is not None and value > longest:
            raise RecipeError(
                f"{name} is {value}; the {role} reads {longest} tokens at the most: lower it, or take a "
                "model that reads more."
            )


def _config(recipe: "Recipe", role: Role) -> Mapping[str, Any]:
    """Describe a model as a config.json does: a pretrained one by its own, a new one by its sizes."""
    part = recipe.part(role)
    if part.reference is not None:
        return checkpoint_of(part.reference, role).config
    assert part.shape is not None  # checked by Part
    return part.shape.settings(part.vocab_size or recipe.vocab_size or 0)


def _check_pinned(recipe: "Recipe", role: Role, checkpoint: "Checkpoint") -> None:
    """Raise RecipeError when its weights are not those whose SHA-256 the recipe has."""
    part, files = recipe.part(role), checkpoint.weight_files
    if part.sha256 is None:
        return
    if len(files) > 1:
        raise RecipeError(
            f"[{role}] sha256 is of one file, and {part.reference} has {len(files)} of weights; leave it "
            "out, and name the commit of a model of the Hub behind an @."
        )
    with named(str(part.reference), role):
        digest = checkpoint.sha256[files[0]]
    if digest != part.sha256:
        raise RecipeError(
            f"[{role}] from = {part.reference!r}: the SHA-256 of {files[0]} is {digest[:12]}…, the recipe "
            f"has {part.sha256[:12]}…; fetch the file again, or give the SHA-256 of the one that is meant."
        )
