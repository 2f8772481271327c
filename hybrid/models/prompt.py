"""From what a person typed to prompt ids, with every refusal in one sentence."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from hybrid.errors import InputError, PromptTooLong
from hybrid.schema import TASKS

# Unicode's categories Cc and Cs but for line ends and tabs: control characters, halves of surrogate pairs.
UNREADABLE = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\ud800-\\udfff]")


@dataclass(frozen=True)
class Prompt:
    """A prompt ready to be read.

    ids: token ids with the task's prefix and the end-of-sequence id.
    total_tokens: tokens before any truncation; more than len(ids) when cut.
    notices: sentences a person should see beside the answer.
    """

    ids: tuple[int, ...]
    total_tokens: int
    notices: tuple[str, ...] = ()


def encode_prompts(
    tokenizer: PreTrainedTokenizerBase, task: str, texts: Sequence[str], limit: int, truncate: bool = False
) -> tuple[Prompt, ...]:
    """encode_prompt for each of `texts`; what it raises says which one when there are several.

    Raises InputError when there is none.
    """
    if isinstance(texts, str):  # also a sequence of strings, its characters
        raise TypeError(f"texts is one string, {texts[:40]!r}; give a list of strings")
    if not texts:
        raise InputError("There is no prompt to answer; give at least one.")
    names = [f"Prompt {n} of {len(texts)}" for n in range(1, len(texts) + 1)]
    if len(texts) == 1:
        names = ["The prompt"]
    return tuple(
        encode_prompt(tokenizer, task, text, limit, truncate, name)
        for text, name in zip(texts, names, strict=True)
    )


def encode_prompt(
    tokenizer: PreTrainedTokenizerBase,
    task: str,
    text: str,
    limit: int,
    truncate: bool = False,
    name: str = "The prompt",
) -> Prompt:
    """Prompt ids for `text`, at most `limit` of them.

    name: what errors and notices call it. Raises InputError for an unknown
    task, an empty prompt or control characters, PromptTooLong when it does not
    fit and `truncate` is off.
    """
    if task not in TASKS:
        raise InputError(f"There is no task {task!r}; available: {', '.join(TASKS)}.")
    _refuse_unreadable(text, name)
    ids: list[int] = tokenizer.encode(
        TASKS[task].prefix + text.strip(),
        add_special_tokens=False,
        split_special_tokens=True,  # a person may type "</s>": it is text, not the end
    )
    total = len(ids) + 1
    notices = list(_script_notice(text))
    if total > limit:
        if not truncate:
            raise PromptTooLong(total, limit, name)
        ids = ids[: limit - 1]
        notices.append(f"{name} was cut to its first {limit} of {total} tokens.")
    return Prompt((*ids, int(tokenizer.eos_token_id)), total, tuple(notices))


def _refuse_unreadable(text: str, name: str) -> None:
    if not text.strip():
        raise InputError(f"{name} is empty; type a sentence.")
    if found := UNREADABLE.search(text):
        code, position = ord(found[0]), found.start() + 1
        raise InputError(f"{name} has a control character (U+{code:04X}) at position {position}; remove it.")


def _script_notice(text: str) -> tuple[str, ...]:
    if text.isascii():
        return ()
    letters = [c for c in text if c.isalpha()]
    latin = sum(unicodedata.name(c, "").startswith("LATIN") for c in letters)
    if latin * 2 >= len(letters):
        return ()
    sentence = (
        "Most of the prompt is not in Latin script; "
        "the models were trained on English and may answer nonsense."
    )
    return (sentence,)
