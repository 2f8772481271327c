"""A tokenizer to which a text is text: what is typed never becomes one of its special tokens.

What a format says is text, too, but for the special tokens that it names: they part it
into stretches, and each is encoded by itself, as tokenizers does it.
"""

import json
import re
from collections.abc import Iterable
from functools import cached_property, lru_cache
from typing import Any

from tokenizers import AddedToken, Encoding, Tokenizer

_HIDDEN = "\x00"  # before a barred token's name: prompts with control characters are refused
_FIRST = b'"prepend_scheme":"first"'


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
