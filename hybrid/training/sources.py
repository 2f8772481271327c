"""Pretrained models that a recipe names by reference, each found once."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from transformers import PreTrainedModel

from hybrid.errors import PairError, RecipeError
from hybrid.models.pair_format import Role

if TYPE_CHECKING:
    from hybrid.models.references import Checkpoint


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


def pretrained(reference: str, role: Role) -> PreTrainedModel:
    """Load it in float32. Raises RecipeError."""
    from hybrid.models.references import load_model

    with named(reference, role):
        return load_model(checkpoint_of(reference, role))
