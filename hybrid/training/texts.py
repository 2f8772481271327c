"""How a recipe's two models read prompts and write answers: tokenizers and formats, kept beside the data."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from hybrid.errors import RecipeError
from hybrid.models.prompts import TextEncoder, plain_formats
from hybrid.models.references import Checkpoint
from hybrid.models.writing import ModelTexts, texts_of
from hybrid.schema import PromptFormat, Task
from hybrid.store.files import atomic_write

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
