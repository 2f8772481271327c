"""From what a person typed to prompt ids and from ids to text, with every refusal in one sentence.

Texts are normalized here, where a model reads them, as hybrid.schema.texts says.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from hybrid.errors import InputError, PromptTooLong
from hybrid.models.prompt_formats import PlainTokenizer, barred_tokens, plain_tokenizer, stretches
from hybrid.schema import LARGEST_PROMPT, TASKS, EncodedPrompt, PromptFormat, Task
from hybrid.schema.texts import UNREADABLE, changes, normalized

# Languages that are written in Latin script, by their ISO 639-1 codes: of the most common corpora.
LATIN: Mapping[str, str] = {
    "cs": "Czech", "da": "Danish", "de": "German", "en": "English", "es": "Spanish", "et": "Estonian",
    "fi": "Finnish", "fr": "French", "hr": "Croatian", "hu": "Hungarian", "is": "Icelandic",
    "it": "Italian", "lt": "Lithuanian", "lv": "Latvian", "nl": "Dutch", "no": "Norwegian",
    "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "sk": "Slovak", "sl": "Slovenian",
    "sv": "Swedish", "sw": "Swahili", "tr": "Turkish", "vi": "Vietnamese",
}  # fmt: skip


def plain_formats(tasks: Mapping[str, Task], eos: str = "") -> dict[str, PromptFormat]:
    """Give the formats of a model that reads each task's own words around a text, as T5 does."""
    return {name: PromptFormat(task.prefix, task.suffix, eos=eos) for name, task in tasks.items()}


@dataclass(frozen=True)
class _Layout:
    """A format as ids and as what is encoded with the text: head, lead + text + trail, tail."""

    head: tuple[int, ...]
    lead: str
    trail: str
    tail: tuple[int, ...]
    plain: PlainTokenizer

    def join(self, text: str) -> str:
        return f"{self.lead}{text}{self.trail}"

    def ids(self, body: Sequence[int]) -> list[int]:
        return [*self.head, *body, *self.tail]

    def cut(self, text: str, limit: int) -> list[int]:
        """Encode the longest beginning of a text that makes a prompt of at most `limit` ids."""
        room = limit - len(self.head) - len(self.tail)
        encoding = self.plain.encode(self.join(text))
        if not self.trail:
            return self.ids(encoding.ids[: max(0, room)])
        length = room
        while length > 0:
            end = encoding.offsets[length][0] - len(self.lead) if length < len(encoding.ids) else len(text)
            body = self.plain.encode(self.join(text[: max(0, end)])).ids
            if len(body) <= room:
                return self.ids(body)
            length -= len(body) - room
        return self.ids(self.plain.encode(self.join("")).ids)


class TextEncoder:
    """A tokenizer to which a text is text: only a format makes a special token, whatever is typed.

    formats: of each task; its own words alone when None. eos: the token that ends an answer.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        formats: Mapping[str, PromptFormat] | None = None,
        tasks: Mapping[str, Task] = TASKS,
        eos: str = "",
    ) -> None:
        self.tasks = tasks
        formats = plain_formats(tasks) if formats is None else formats
        barred = barred_tokens(tokenizer, (text for f in formats.values() for text in (f.before, f.after)))
        self._tokenizer, self._barred = tokenizer, barred | ({eos} - {""})
        self._plain = plain_tokenizer(tokenizer, self._barred)
        self._layouts = {name: self._layout(known) for name, known in formats.items()}
        self._end = self._ids(eos)

    def prompt(self, task: str, text: str, limit: int | None = None) -> list[int]:
        """Encode a whole prompt; its text is cut, and nothing else, so that there are at most `limit` ids."""
        layout, text = self._layouts[task], self._read(task, text)
        ids = layout.ids(layout.plain.encode(layout.join(text)).ids)
        return ids if limit is None or len(ids) <= limit else layout.cut(text, limit)

    def prompts(self, rows: Iterable[tuple[str, str]], limit: int | None = None) -> list[list[int]]:
        """Encode many of them, (task, text) each, in all threads."""
        known = [(self._layouts[task], self._read(task, text)) for task, text in rows]
        prompts: list[list[int]] = [[]] * len(known)
        for plain in {id(layout.plain): layout.plain for layout, _ in known}.values():
            places = [place for place, (layout, _) in enumerate(known) if layout.plain is plain]
            texts = [known[place][0].join(known[place][1]) for place in places]
            for place, body in zip(places, plain.batch(texts), strict=True):
                prompts[place] = known[place][0].ids(body)
        if limit is None:
            return prompts
        cut = zip(prompts, known, strict=True)
        return [ids if len(ids) <= limit else layout.cut(text, limit) for ids, (layout, text) in cut]

    def answers(self, rows: Iterable[tuple[str, str]]) -> list[list[int]]:
        """Encode what answers a task, (task, text) each, in all threads, with the token that ends it."""
        texts = [self._read(task, text) for task, text in rows]
        return [[*ids, *self._end] for ids in self._plain.batch(texts)]

    def _layout(self, known: PromptFormat) -> _Layout:
        before, after = (stretches(self._tokenizer, text) for text in (known.before, known.after))
        lead = str(before[-1]) if before and isinstance(before[-1], str) else ""
        trail = str(after[0]) if after and isinstance(after[0], str) else ""
        before, after = before[: len(before) - bool(lead)], after[bool(trail) :]
        head, tail = self._encode(before, starts=True), self._encode(after, starts=False)
        plain = plain_tokenizer(self._tokenizer, self._barred, inner=bool(before))
        return _Layout((*self._ids(known.bos), *head), lead, trail, (*tail, *self._ids(known.eos)), plain)

    def _encode(self, parts: Sequence[int | str], starts: bool) -> list[int]:
        """Encode stretches of a format. starts: whether they begin the prompt."""
        ids: list[int] = []
        for place, part in enumerate(parts):
            if isinstance(part, int):
                ids.append(part)
                continue
            plain = plain_tokenizer(self._tokenizer, self._barred, inner=not starts or place > 0)
            ids += plain.encode(part).ids
        return ids

    def _ids(self, names: str) -> list[int]:
        """Give the ids of tokens that are named one behind the other."""
        number = self._tokenizer.token_to_id(names) if names else None
        return (
            [number] if number is not None else self._encode(stretches(self._tokenizer, names), starts=False)
        )

    def _read(self, task: str, text: str) -> str:
        return normalized(text, self.tasks[task].lines)


class TextCodec:
    """Texts to prompts as ids by the model that reads, ids to texts by the model that writes.

    reader, writer: their tokenizers; the same where there is one, or none is given.
    max_prompt_tokens: longest prompt, all that its format adds included.
    formats: how the reader is asked, by task; its words and the reader's end-of-sequence token when None.
    more_eos_ids: of the writer, that end an answer beside the one its tokenizer names.
    """

    def __init__(
        self,
        reader: PreTrainedTokenizerFast,
        max_prompt_tokens: int,
        writer: PreTrainedTokenizerFast | None = None,
        formats: Mapping[str, PromptFormat] | None = None,
        tasks: Mapping[str, Task] = TASKS,
        more_eos_ids: Iterable[int] = (),
    ) -> None:
        self.reader, self.writer, self.max_prompt_tokens = reader, writer or reader, max_prompt_tokens
        self.tasks = tasks
        formats = plain_formats(tasks, str(reader.eos_token)) if formats is None else formats
        self._encoder = TextEncoder(reader.backend_tokenizer, formats, tasks)
        self.eos_ids = tuple(dict.fromkeys((self.eos_id, *more_eos_ids)))  # each ends an answer

    @property
    def eos_id(self) -> int:
        """The first of the ids that end an answer: the one that training writes."""
        return int(self.writer.eos_token_id)

    @property
    def pad_id(self) -> int:
        """The id behind the end of an answer that is shorter than others."""
        return int(self.writer.pad_token_id)

    @property
    def reader_pad_id(self) -> int:
        """The id behind the end of a prompt that is shorter than others."""
        return int(self.reader.pad_token_id)

    def encode(self, task: str, texts: Sequence[str], truncate: bool = False) -> tuple[EncodedPrompt, ...]:
        """Encode each of `texts`, normalized, in the format of the task.

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
        """Make text of generated ids, without special tokens and without what ends an answer."""
        ids = [token for token in token_ids if token not in self.eos_ids]
        return str(self.writer.decode(ids, skip_special_tokens=True))

    def notices(self, task: str, text: str, truncate: bool = False) -> tuple[str, ...]:
        """Sentences that a person should see beside the answer. Raises what `encode` raises."""
        (prompt,) = self.encode(task, [text], truncate)
        notices = _script_notice(text, self.tasks[task].source_language)
        if changed := changes(text, self.tasks[task].lines):
            notices += (f"The prompt was normalized before it was read: {', '.join(changed)}.",)
        if prompt.truncated:
            total = len(self._encoder.prompt(task, text))
            notices += (f"The prompt was cut to its first {self.max_prompt_tokens} of {total} tokens.",)
        return notices

    def _encode(self, task: str, text: str, truncate: bool, name: str) -> EncodedPrompt:
        if task not in self.tasks:
            raise InputError(f"There is no task {task!r}; available: {', '.join(self.tasks)}.")
        _refuse_unreadable(text, name)
        ids, limit = self._encoder.prompt(task, text), self.max_prompt_tokens
        if len(ids) <= limit:
            return EncodedPrompt(tuple(ids))
        cut = self._encoder.prompt(task, text, limit) if truncate else ids
        if len(cut) > limit:
            raise PromptTooLong(len(ids), limit, name)
        return EncodedPrompt(tuple(cut), truncated=True)


def _refuse_unreadable(text: str, name: str) -> None:
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > LARGEST_PROMPT:
        raise InputError(f"{name} has {size:,} bytes; {LARGEST_PROMPT:,} are read at the most. Shorten it.")
    if not normalized(text):
        raise InputError(f"{name} is empty; type a sentence.")
    if character := UNREADABLE.search(text):
        code, position = ord(character[0]), character.start() + 1
        raise InputError(f"{name} has a control character (U+{code:04X}) at position {position}; remove it.")


def _script_notice(text: str, language: str) -> tuple[str, ...]:
    """Say which language a task is for, where that is written in Latin script and the text is not."""
    if text.isascii() or language not in LATIN:
        return ()
    letters = [c for c in text if c.isalpha()]
    latin = sum(unicodedata.name(c, "").startswith("LATIN") for c in letters)
    if latin * 2 >= len(letters):
        return ()
    sentence = (
        "Most of the prompt is not in Latin script; "
        f"the models were trained on {LATIN[language]} and may answer nonsense."
    )
    return (sentence,)
