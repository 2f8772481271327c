"""From corpora to prepared ids: the tokenizers, and every example as each model reads and writes it.

    data/llm.json, slm.json                  how a model is asked and ends an answer
    data/llm-tokenizer.json, slm-...         the tokenizers
    data/train.npz, dev.npz                  ids: source, target; slm_source, slm_target; lengths; repeats

Those of the SLM are there where it does not read and write as the LLM does.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import RecipeError
from hybrid.models.pair_format import ROLES, Role
from hybrid.schema.texts import normalized
from hybrid.store.files import atomic_write, open_atomic
from hybrid.training.corpora import Data, Pair, read_corpora
from hybrid.training.recipe import Recipe, prepared
from hybrid.training.settings import data_settings, record
from hybrid.training.sources import checkpoint_of, named
from hybrid.training.texts import (
    RoleTexts,
    pretrained_texts,
    read_texts,
    train_tokenizer,
    trained_texts,
    write_texts,
)


def prepare(recipe: Recipe) -> None:
    """Write tokenizers, train.npz and dev.npz unless they are there."""
    target = prepared(recipe)
    if target.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    pairs = read_corpora(recipe.data.train, recipe.seed, recipe.data.temperature)
    dev = read_corpora(recipe.data.dev, recipe.seed)
    texts = {role: _prepare_texts(recipe, role, pairs) for role in roles(recipe)}
    save_ids(target.with_name("dev.npz"), texts, dev, recipe.data)
    record(target.parent, data_settings(recipe))
    save_ids(target, texts, pairs, recipe.data)


def roles(recipe: Recipe) -> tuple[Role, ...]:
    """Whose ids are prepared: the LLM's, which may stand for both, and the SLM's where they differ."""
    own = recipe.slm.reference is not None or recipe.slm.vocab_size is not None
    return ROLES if own else ROLES[:1]


def one_tokenizer(recipe: Recipe) -> bool:
    """Tell whether both models write in the same ids; call it once data are prepared."""
    if roles(recipe) == ROLES[:1]:
        return True
    first, second = (tokenizer_path(recipe, role).read_bytes() for role in ROLES)
    return first == second


def tokenizer_path(recipe: Recipe, role: Role = "llm") -> Path:
    """Where the tokenizer of a role's prepared ids lies."""
    return prepared(recipe).with_name(f"{_owner(recipe, role)}-tokenizer.json")


def texts_of(recipe: Recipe, role: Role) -> RoleTexts:
    """How a role's model reads and writes, as it was prepared."""
    about = prepared(recipe).with_name(f"{_owner(recipe, role)}.json")
    return read_texts(about, tokenizer_path(recipe, role), recipe.used_tasks)


def _owner(recipe: Recipe, role: Role) -> Role:
    return role if role in roles(recipe) else "llm"


def _prepare_texts(recipe: Recipe, role: Role, pairs: Sequence[Pair]) -> RoleTexts:
    part, path, tasks = recipe.part(role), tokenizer_path(recipe, role), recipe.used_tasks
    if part.reference is not None:
        checkpoint = checkpoint_of(part.reference, role)
        atomic_write(path, checkpoint.tokenizer_file.read_bytes())
        with named(part.reference, role):
            texts = pretrained_texts(path, checkpoint, tasks, part.chat is not False)
    else:
        size = part.vocab_size or recipe.vocab_size
        assert size is not None  # checked by Recipe
        read = (normalized(text, tasks[p.task].lines) for p in pairs for text in (p.source, p.target))
        words = [word for task in recipe.known_tasks.values() for word in (task.prefix, task.suffix)]
        atomic_write(path, train_tokenizer(read, size, words).to_str(pretty=True).encode())
        texts = trained_texts(path, tasks)
    write_texts(path.with_name(f"{role}.json"), texts)
    return texts


def save_ids(path: Path, texts: Mapping[Role, RoleTexts], pairs: Sequence[Pair], data: Data) -> None:
    """Tokenize and store flat ids with their lengths, ends of sequence included."""
    widest = max(width for _, width in data.buckets)
    sides: dict[str, list[list[int]]] = {}
    for role, text in texts.items():
        lead = "" if role == "llm" else f"{role}_"
        sides[f"{lead}source"] = text.encoder.prompts(((p.task, p.source) for p in pairs), data.max_source)
        sides[f"{lead}target"] = text.encoder.answers((p.task, p.target) for p in pairs)
    targets = [rows for side, rows in sides.items() if side.endswith("target")]
    kept = [n for n in range(len(pairs)) if all(len(rows[n]) <= widest for rows in targets)]
    repeats = np.asarray([pairs[n].repeats for n in kept], dtype=np.float32)
    extra = {} if np.allclose(repeats, 1) else {"repeats": repeats}
    save_rows(path, {side: [rows[n] for n in kept] for side, rows in sides.items()}, extra)


def save_rows(
    path: Path, sides: Mapping[str, Sequence[Sequence[int]]], extra: Mapping[str, NDArray[np.generic]]
) -> None:
    """Store the ids of each side of each example, whole or not at all."""
    arrays: dict[str, NDArray[np.generic]] = dict(extra)
    for name, rows in sides.items():
        if not rows:
            raise RecipeError(f"The recipe's corpora hold no usable example for {path}.")
        flat = np.concatenate([np.asarray(row, dtype=np.uint32) for row in rows])
        arrays[name] = flat.astype(np.uint16) if flat.max(initial=0) < 2**16 else flat
        arrays[f"{name}_lengths"] = np.asarray([len(row) for row in rows], dtype=np.uint16)
    with open_atomic(path) as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def rows_of(arrays: Mapping[str, NDArray[np.generic]], side: str) -> list[NDArray[np.int64]]:
    """Return the ids of a side, example by example."""
    ends = np.cumsum(arrays[f"{side}_lengths"], dtype=np.int64)
    return np.split(arrays[side].astype(np.int64), ends[:-1])
