"""From corpora to prepared ids: the tokenizers, and every example as each model reads and writes it.

    data/llm.json, slm.json                  how a model is asked and ends an answer
    data/llm-tokenizer.json, slm-...         the tokenizers
    data/train.npz, dev.npz                  ids: source, target; slm_source, slm_target; lengths; repeats
    data/train-sources.json, dev-...         how many of these examples are from where

Those of the SLM are there where it does not read and write as the LLM does.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from hybrid.errors import RecipeError
from hybrid.models.pair_format import ROLES, Role
from hybrid.models.prompts import TextEncoder, plain_formats
from hybrid.models.references import Checkpoint
from hybrid.models.writing import ModelTexts, texts_of
from hybrid.schema import PromptFormat, Task
from hybrid.schema.texts import normalized
from hybrid.store.files import atomic_write, open_atomic
from hybrid.training.corpora import Data, Pair, read_corpora
from hybrid.training.recipe import Recipe, prepared
from hybrid.training.settings import data_settings, record
from hybrid.training.sources import checkpoint_of, named

SPECIALS = ("<pad>", "</s>", "<unk>")  # ids 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class RoleTexts(ModelTexts):
    """One model's way with texts, ready to encode them. tasks: what is known of each."""

    tasks: Mapping[str, Task]

    @cached_property
    def backend(self) -> Tokenizer:
        """Read the tokenizer."""
        backend = Tokenizer.from_file(str(self.tokenizer))
        backend.no_truncation()  # a file may ask for either
        backend.no_padding()
        return backend

    @cached_property
    def encoder(self) -> TextEncoder:
        """What encodes texts as the product does."""
        return TextEncoder(self.backend, self.formats, self.tasks, self.eos)

    @property
    def tokens(self) -> dict[str, str]:
        """Name the tokens as transformers does."""
        return {"eos_token": self.eos, "pad_token": self.pad}

    @property
    def eos_id(self) -> int:
        return self._id(self.eos)

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """All that end an answer; the first is the one that is trained."""
        return self.eos_id, *self.more_eos_ids

    @property
    def pad_id(self) -> int:
        return self._id(self.pad)

    @property
    def vocabulary(self) -> int:
        """How many ids there are."""
        return max(self.backend.get_vocab().values()) + 1

    def _id(self, token: str) -> int:
        number = self.backend.token_to_id(token)
        if number is None:
            raise RecipeError(f"{self.tokenizer} has no token {token!r}.")
        return int(number)


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


def prepared_texts(recipe: Recipe, role: Role) -> RoleTexts:
    """How a role's model reads and writes, as it was prepared."""
    about = prepared(recipe).with_name(f"{_owner(recipe, role)}.json")
    if not about.is_file():
        raise RecipeError(
            f"The recipe {recipe.name} has not been trained: {about} is not there; `hybrid train` makes it."
        )
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
    places = [n for n in range(len(pairs)) if all(len(rows[n]) <= widest for rows in targets)]
    repeats = np.asarray([pairs[n].repeats for n in places], dtype=np.float32)
    extra = {} if np.allclose(repeats, 1) else {"repeats": repeats}
    sources = _counted([pairs[n] for n in places])
    atomic_write(sources_path(path), json.dumps(sources, indent=1, ensure_ascii=False).encode())
    save_rows(path, {side: [rows[n] for n in places] for side, rows in sides.items()}, extra)


def sources_path(path: Path) -> Path:
    """Where it is written of which sources the examples of a file of ids are."""
    return path.with_name(f"{path.stem}-sources.json")


def _counted(pairs: Iterable[Pair]) -> list[dict[str, Any]]:
    """Count examples by file, task and source; repeats: how often an epoch draws each, on average."""
    groups: dict[tuple[str, str, str], list[float]] = {}
    for pair in pairs:
        groups.setdefault((pair.file, pair.task, pair.origin), []).append(pair.repeats)
    return [
        {"file": file, "task": task, "source": origin, "examples": len(drawn), "repeats": fmean(drawn)}
        for (file, task, origin), drawn in groups.items()
    ]


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


def write_texts(path: Path, texts: RoleTexts) -> None:
    """Write what read_texts() reads."""
    formats = {name: asdict(around) for name, around in texts.formats.items()}
    about = {"eos": texts.eos, "pad": texts.pad, "formats": formats, "more_eos_ids": texts.more_eos_ids}
    atomic_write(path, json.dumps(about, indent=1, ensure_ascii=False).encode())


def read_texts(path: Path, tokenizer: Path, tasks: Mapping[str, Task]) -> RoleTexts:
    """Read how a model is asked, as it was prepared."""
    about: dict[str, Any] = json.loads(path.read_bytes())
    formats = {name: PromptFormat(**around) for name, around in about["formats"].items()}
    more = tuple(about.get("more_eos_ids", ()))
    return RoleTexts(
        tokenizer=tokenizer,
        eos=about["eos"],
        pad=about["pad"],
        formats=formats,
        tasks=tasks,
        more_eos_ids=more,
    )


def trained_texts(tokenizer: Path, tasks: Mapping[str, Task]) -> RoleTexts:
    """Give the way of a model with a tokenizer that train_tokenizer() made."""
    pad, eos, _ = SPECIALS
    return RoleTexts(tokenizer=tokenizer, eos=eos, pad=pad, formats=plain_formats(tasks, eos), tasks=tasks)


def pretrained_texts(
    tokenizer: Path, checkpoint: Checkpoint, tasks: Mapping[str, Task], chat: bool
) -> RoleTexts:
    """Give the way of a pretrained model, whose tokenizer lies at `tokenizer`. Raises PairError.

    chat: whether it is asked in its chat template, where it has one.
    """
    if not chat:
        checkpoint = replace(checkpoint, chat_template="")
    texts = texts_of(checkpoint, tasks.values())
    formats = {name: f if _ends(f) else _with_line_end(f) for name, f in texts.formats.items()}
    return RoleTexts(**vars(texts) | {"tokenizer": tokenizer, "formats": formats, "tasks": tasks})


def train_tokenizer(texts: Iterable[str], vocab_size: int, words: Iterable[str]) -> Tokenizer:
    """Train a tokenizer of exactly `vocab_size` entries, each of `words`, of the tasks, one of them.

    It is byte-level BPE, so that every text can be read and written. Digits are split one by one,
    so that numbers are copied digit by digit.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    added = [AddedToken(word, normalized=False) for word in dict.fromkeys(w.rstrip() for w in words) if word]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(added),
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens(added)
    return tokenizer


def _ends(around: PromptFormat) -> bool:
    """Tell whether something says where a text ends and its answer begins."""
    return bool(around.after or around.eos)


def _with_line_end(around: PromptFormat) -> PromptFormat:
    return PromptFormat(around.before, "\n", around.bos)
