"""How a pretrained model is asked: its chat template, rendered once, or as its tokenizer frames a text.

A template is a program of somebody else's: it is rendered in transformers' sandbox when a
pair is made, around a text that stands for any, and what comes out is kept as plain text.
To a PlainTokenizer a text is text: what is typed never becomes a special token. What a format says is
text, too, but for the special tokens that it names: they part it into stretches, each encoded by itself.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Any

from tokenizers import AddedToken, Encoding, Tokenizer

from hybrid.errors import PairError
from hybrid.format import printable
from hybrid.schema import PromptFormat, Task

LARGEST_TEMPLATE = 2**17  # characters; the longest in use has some 20,000
LARGEST_FORMAT = 2**14  # characters before or behind a text
_TEXT = "HYBRIDTEXT7F3A"  # stands for the text; no template changes it
_ANSWER = "HYBRIDANSWER7F3A"
_HIDDEN = "\x00"  # before a barred token's name: prompts with control characters are refused
_FIRST = b'"prepend_scheme":"first"'


def prompt_format(
    tokenizer: Tokenizer, task: Task, template: str = "", tokens: Mapping[str, str] | None = None
) -> PromptFormat:
    """Give the format in which a model reads prompts of a task.

    template: its chat template, in Jinja; without one the task's words stand around the text, and what
        its tokenizer puts around any text. tokens: names of special tokens ("bos_token") to their texts.
    Raises PairError for a template that cannot be used.
    """
    if not template:
        bos, eos = _frame(tokenizer)
        return PromptFormat(task.prefix, task.suffix, bos, eos)
    rendered = _render(template, [_user(task)], tokens or {}, answers=True)
    before, text, after = rendered.partition(_TEXT)
    if not text or _TEXT in after:
        raise PairError("The chat template does not give the text of a user once, as it is.")
    if max(map(len, (before, after))) > LARGEST_FORMAT:
        raise PairError(
            f"The chat template puts more than {LARGEST_FORMAT:,} characters before or behind a text."
        )
    return PromptFormat(before, after)


def answer_end(
    tokenizer: Tokenizer,
    eos_ids: Collection[int],
    template: str = "",
    tokens: Mapping[str, str] | None = None,
) -> str:
    """Name the token that ends a model's answer: of a chat's turn where it has a template.

    eos_ids: those that its settings name. Raises PairError when there is none.
    """
    tokens = tokens or {}
    if template:
        turns = [{"role": "user", "content": _TEXT}, {"role": "assistant", "content": _ANSWER}]
        behind = _render(template, turns, tokens, answers=False).rpartition(_ANSWER)[2]
        ends = [part for part in stretches(tokenizer, behind) if isinstance(part, int)]
        if ends and (ends[0] in eos_ids or not eos_ids):
            return str(tokenizer.id_to_token(ends[0]))
    name = tokens.get("eos_token")
    if name and tokenizer.token_to_id(name) is not None:
        return name
    known = [token for number in eos_ids if (token := tokenizer.id_to_token(number))]
    if not known:
        raise PairError("Neither tokenizer nor settings of the model name a token that ends an answer.")
    return known[0]


def _user(task: Task) -> dict[str, str]:
    return {"role": "user", "content": f"{task.prefix}{_TEXT}{task.suffix}"}


def _render(template: str, turns: list[dict[str, Any]], tokens: Mapping[str, str], answers: bool) -> str:
    from transformers.utils.chat_template_utils import render_jinja_template

    render: Any = render_jinja_template  # whose types say otherwise than what it takes and gives

    if len(template) > LARGEST_TEMPLATE:
        raise PairError(
            f"The chat template has {len(template):,} characters; it may have {LARGEST_TEMPLATE:,}."
        )
    try:
        # Qwen3's answers without a thought before; other templates do not know the name.
        (text,), _ = render(
            [turns], chat_template=template, add_generation_prompt=answers, enable_thinking=False, **tokens
        )
    except Exception as error:  # a program of anybody's raises what it likes
        reason = printable(str(error), 200)
        raise PairError(f"The chat template cannot be rendered: {reason or type(error).__name__}.") from error
    return str(text)


def _frame(tokenizer: Tokenizer) -> tuple[str, str]:
    """Name the tokens that a tokenizer puts before and behind any text by itself."""
    plain = tokenizer.encode("a", add_special_tokens=False).ids
    framed = tokenizer.encode("a").ids
    place = next((n for n in range(len(framed)) if framed[n : n + len(plain)] == plain), None)
    if place is None:
        return "", ""
    ends = framed[:place], framed[place + len(plain) :]
    bos, eos = ("".join(str(tokenizer.id_to_token(number)) for number in ids) for ids in ends)
    return bos, eos


def barred_tokens(tokenizer: Tokenizer, formats: Iterable[str]) -> frozenset[str]:
    """Name the tokens that no text may become: the special ones, and words of a format with an id.

    formats: texts that are put around a prompt's. Line ends and blanks that have an id of
    their own, as Gemma's, stay what they are in every text.
    """
    texts = tuple(formats)
    added = tokenizer.get_added_tokens_decoder().values()
    return frozenset(
        token.content
        for token in added
        if token.special
        or (any(map(str.isalnum, token.content)) and any(token.content in text for text in texts))
    )


class PlainTokenizer:
    """A tokenizer that finds none of the barred tokens in a text, and adds none.

    inner: for a text behind a special token, which some (Llama's) begin without a blank.
    """

    def __init__(self, tokenizer: Tokenizer, barred: frozenset[str], inner: bool = False) -> None:
        self._tokenizer, self._barred, self._inner = tokenizer, barred, inner
        self._barred_ids = frozenset(tokenizer.token_to_id(name) for name in barred)
        self._quick = None if inner else _sharing(tokenizer, barred)

    def encode(self, text: str) -> Encoding:
        """Encode a text."""
        encoding = (self._quick or self._strict).encode(text, add_special_tokens=False)
        if self._quick is None or self._barred_ids.isdisjoint(encoding.ids):
            return encoding
        return self._strict.encode(text, add_special_tokens=False)

    def batch(self, texts: list[str]) -> list[list[int]]:
        """Encode many texts, in all threads."""
        encodings = (self._quick or self._strict).encode_batch_fast(texts, add_special_tokens=False)
        rows = [encoding.ids for encoding in encodings]
        if self._quick is not None:
            for place, ids in enumerate(rows):
                if not self._barred_ids.isdisjoint(ids):
                    rows[place] = self._strict.encode(texts[place], add_special_tokens=False).ids
        return rows

    @cached_property
    def _strict(self) -> Tokenizer:
        """The tokenizer with hidden names: a second of work for each 50,000 entries, so only when needed."""
        state = json.loads(self._tokenizer.to_str()) | dict.fromkeys(
            ("post_processor", "truncation", "padding")
        )
        _hide(state["model"], self._barred)
        for token in state["added_tokens"]:
            token["content"] = _hidden(token["content"], self._barred)
        if self._inner:
            _unprefix(state["pre_tokenizer"])
        return Tokenizer.from_str(json.dumps(state))


@lru_cache(maxsize=8)
def plain_tokenizer(tokenizer: Tokenizer, barred: frozenset[str], inner: bool = False) -> PlainTokenizer:
    """Make the tokenizer that finds none of the barred tokens in a text; see PlainTokenizer."""
    steps = tokenizer.pre_tokenizer
    if inner and (steps is None or _FIRST not in steps.__getstate__().replace(b" ", b"")):
        return plain_tokenizer(tokenizer, barred)
    return PlainTokenizer(tokenizer, barred, inner)


def _sharing(tokenizer: Tokenizer, barred: frozenset[str]) -> Tokenizer:
    """Make one that shares the model and looks for no barred token; the model itself may still make one."""
    plain = Tokenizer(tokenizer.model)
    plain.normalizer, plain.pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    for _, token in sorted(tokenizer.get_added_tokens_decoder().items()):
        if token.content in barred and tokenizer.model.token_to_id(token.content) is not None:
            continue
        name = _hidden(token.content, barred)  # it keeps its place, so that the others keep their ids
        plain.add_tokens(
            [
                AddedToken(
                    name, single_word=token.single_word, lstrip=token.lstrip, rstrip=token.rstrip,
                    normalized=token.normalized,
                )
            ]
        )  # fmt: skip
    return plain


def stretches(tokenizer: Tokenizer, text: str) -> tuple[int | str, ...]:
    """Part a format's text into the ids of the tokens that it names and the texts between them."""
    known = {token.content: (number, token) for number, token in tokenizer.get_added_tokens_decoder().items()}
    if not known:
        return (text,) if text else ()
    # The first of those that stand at a place is taken, and of these the longest, as tokenizers does.
    names = "|".join(map(re.escape, sorted(known, key=len, reverse=True)))
    parts: list[int | str] = []
    for place, part in enumerate(re.split(f"({names})", text)):
        if place % 2 == 0:
            parts.append(part)
            continue
        number, token = known[part]
        if token.lstrip:
            parts[-1] = str(parts[-1]).rstrip()
        parts.append(number)
    for place, before in enumerate(parts[:-1]):
        following = parts[place + 1]
        if isinstance(before, int) and isinstance(following, str) and _takes_blanks(tokenizer, before):
            parts[place + 1] = following.lstrip()
    return tuple(part for part in parts if part != "")


def _takes_blanks(tokenizer: Tokenizer, number: int) -> bool:
    return bool(tokenizer.get_added_tokens_decoder()[number].rstrip)


def _hidden(name: str, barred: frozenset[str]) -> str:
    return _HIDDEN + name if name in barred else name


def _hide(model: dict[str, Any], barred: frozenset[str]) -> None:
    """Give barred entries of a vocabulary a name that no text holds; their ids stay."""
    vocabulary = model["vocab"]
    if isinstance(vocabulary, list):  # Unigram: a name and its logarithmic probability
        model["vocab"] = [[_hidden(name, barred), score] for name, score in vocabulary]
        return
    model["vocab"] = {_hidden(name, barred): number for name, number in vocabulary.items()}
    if model.get("unk_token"):
        model["unk_token"] = _hidden(model["unk_token"], barred)
    if "merges" in model:
        pairs = (pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"])
        model["merges"] = [[left, right] for left, right in pairs if not barred & {left, right, left + right}]


def _unprefix(step: Any) -> None:
    """Let a pre-tokenizer put no blank before the first word."""
    for part in (step, *(step.get("pretokenizers") or ())) if step else ():
        if part.get("prepend_scheme") == "first":
            part["prepend_scheme"] = "never"
