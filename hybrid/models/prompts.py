"""From what a person typed to prompt ids and from ids to text, with every refusal in one sentence.

Texts are normalized here, where a model reads them, as hybrid.schema.texts says.
"""

import json
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from hybrid.errors import InputError, PromptTooLong
from hybrid.schema import LARGEST_PROMPT, TASKS, EncodedPrompt
from hybrid.schema.texts import UNREADABLE, changes, normalized

Role = Literal["llm", "slm"]  # whose tokenizer it is
ROLES: tuple[Role, ...] = ("llm", "slm")


class TextEncoder:
    """A tokenizer to which a text is text: only the task makes the task's token, whatever is typed."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._plain = _without_added_tokens(tokenizer)
        self._heads = {name: _head(tokenizer, task.prefix) for name, task in TASKS.items()}

    def prompt(self, task: str, text: str) -> list[int]:
        """Encode the task's prefix and the text, without an end."""
        ids, lead = self._heads[task]
        return [*ids, *self._plain.encode(lead + _read(task, text), add_special_tokens=False).ids]

    def prompts(self, rows: Iterable[tuple[str, str]]) -> list[list[int]]:
        """Encode many of them, (task, text) each, in all threads."""
        heads, texts = [], []
        for task, text in rows:
            ids, lead = self._heads[task]
            heads.append(ids)
            texts.append(lead + _read(task, text))
        encodings = self._plain.encode_batch_fast(texts, add_special_tokens=False)
        return [[*ids, *encoding.ids] for ids, encoding in zip(heads, encodings, strict=True)]

    def answers(self, rows: Iterable[tuple[str, str]]) -> list[list[int]]:
        """Encode what answers a task, (task, text) each, in all threads."""
        texts = [_read(task, text) for task, text in rows]
        return [encoding.ids for encoding in self._plain.encode_batch_fast(texts, add_special_tokens=False)]


class TextCodec:
    """Texts to prompts as ids, and ids to texts, as one model reads and writes them.

    tokenizer: of the ids. max_prompt_tokens: longest prompt, the end included.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, max_prompt_tokens: int) -> None:
        self.tokenizer, self.max_prompt_tokens = tokenizer, max_prompt_tokens
        self._encoder = TextEncoder(tokenizer.backend_tokenizer)

    @property
    def eos_id(self) -> int:
        """The id that ends an answer."""
        return int(self.tokenizer.eos_token_id)

    @property
    def pad_id(self) -> int:
        """The id behind the end of an answer that is shorter than others."""
        return int(self.tokenizer.pad_token_id)

    @property
    def reader_pad_id(self) -> int:
        """The id behind the end of a prompt that is shorter than others."""
        return int(self.tokenizer.pad_token_id)

    def encode(self, task: str, texts: Sequence[str], truncate: bool = False) -> tuple[EncodedPrompt, ...]:
        """Encode each of `texts`, normalized, with the task's prefix and the end-of-sequence id.

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
        if changed := changes(text, TASKS[task].lines):
            notices += (f"The prompt was normalized before it was read: {', '.join(changed)}.",)
        if prompt.truncated:
            total = len(self._encoder.prompt(task, text)) + 1
            notices += (f"The prompt was cut to its first {self.max_prompt_tokens} of {total} tokens.",)
        return notices

    def _encode(self, task: str, text: str, truncate: bool, name: str) -> EncodedPrompt:
        if task not in TASKS:
            raise InputError(f"There is no task {task!r}; available: {', '.join(TASKS)}.")
        _refuse_unreadable(text, name)
        ids, limit = self._encoder.prompt(task, text), self.max_prompt_tokens
        total = len(ids) + 1
        if total > limit and not truncate:
            raise PromptTooLong(total, limit, name)
        return EncodedPrompt((*ids[: limit - 1], self.eos_id), truncated=total > limit)


@lru_cache(maxsize=4)
def _without_added_tokens(tokenizer: Tokenizer) -> Tokenizer:
    """Make the tokenizer that finds no token in a text but by its model: no </s>, no task's token."""
    state = json.loads(tokenizer.to_str())
    none = dict.fromkeys(("post_processor", "truncation", "padding"))
    return Tokenizer.from_str(json.dumps(state | none | {"added_tokens": []}))


def _head(tokenizer: Tokenizer, prefix: str) -> tuple[list[int], str]:
    """Split a task's prefix: the id of its own token where it has one, and what is encoded with the text."""
    token = prefix.rstrip()
    added = {known.content: number for number, known in tokenizer.get_added_tokens_decoder().items()}
    return ([added[token]], prefix[len(token) :]) if token in added else ([], prefix)


def _read(task: str, text: str) -> str:
    return normalized(text, TASKS[task].lines)


def _refuse_unreadable(text: str, name: str) -> None:
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > LARGEST_PROMPT:
        raise InputError(f"{name} has {size:,} bytes; {LARGEST_PROMPT:,} are read at the most. Shorten it.")
    if not normalized(text):
        raise InputError(f"{name} is empty; type a sentence.")
    if character := UNREADABLE.search(text):
        code, position = ord(character[0]), character.start() + 1
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
