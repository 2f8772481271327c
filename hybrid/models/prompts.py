"""From what a person typed to prompt ids and from ids to text, with every refusal in one sentence."""

import re
import unicodedata
from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from hybrid.errors import InputError, PromptTooLong
from hybrid.schema import TASKS, EncodedPrompt

# Unicode's categories Cc and Cs but for line ends and tabs: control characters, halves of surrogate pairs.
UNREADABLE = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\ud800-\\udfff]")


class TextCodec:
    """Texts to prompts as ids, and ids to texts, as one model reads and writes them.

    tokenizer: of the ids. max_prompt_tokens: longest prompt, the end included.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_prompt_tokens: int) -> None:
        self.tokenizer, self.max_prompt_tokens = tokenizer, max_prompt_tokens
        self.eos_id = int(tokenizer.eos_token_id)

    def encode(self, task: str, texts: Sequence[str], truncate: bool = False) -> tuple[EncodedPrompt, ...]:
        """Encode each of `texts` with the task's prefix and the end-of-sequence id.

        truncate: cut what is too long. Raises InputError for an unknown task,
        no text, an empty one or control characters, PromptTooLong when one does
        not fit and `truncate` is off; with several texts they say which one.
        """
        if isinstance(texts, str):  # also a sequence of strings, its characters
            raise TypeError(f"texts is one string, {texts[:40]!r}; give a list of strings")
        if not texts:
            raise InputError("There is no prompt to answer; give at least one.")
        several = len(texts) > 1
        return tuple(
            self._encode(task, text, truncate, f"Prompt {n} of {len(texts)}" if several else "The prompt")
            for n, text in enumerate(texts, 1)
        )

    def decode(self, token_ids: Sequence[int]) -> str:
        """Make text of generated ids, without special tokens."""
        return str(self.tokenizer.decode(list(token_ids), skip_special_tokens=True))

    def notices(self, task: str, text: str, truncate: bool = False) -> tuple[str, ...]:
        """Sentences that a person should see beside the answer. Raises what `encode` raises."""
        (prompt,) = self.encode(task, [text], truncate)
        notices = _script_notice(text)
        if prompt.truncated:
            total = len(self._ids(task, text)) + 1
            notices += (f"The prompt was cut to its first {self.max_prompt_tokens} of {total} tokens.",)
        return notices

    def _encode(self, task: str, text: str, truncate: bool, name: str) -> EncodedPrompt:
        if task not in TASKS:
            raise InputError(f"There is no task {task!r}; available: {', '.join(TASKS)}.")
        _refuse_unreadable(text, name)
        ids, limit = self._ids(task, text), self.max_prompt_tokens
        total = len(ids) + 1
        if total > limit and not truncate:
            raise PromptTooLong(total, limit, name)
        return EncodedPrompt((*ids[: limit - 1], self.eos_id), truncated=total > limit)

    def _ids(self, task: str, text: str) -> list[int]:
        """All tokens but the end."""
        ids: list[int] = self.tokenizer.encode(
            TASKS[task].prefix + text.strip(),
            add_special_tokens=False,
            split_special_tokens=True,  # a person may type "</s>": it is text, not the end
        )
        return ids


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
