"""A tokenizer to which a text is text: what is typed never becomes one of its special tokens.

What a format says is text, too, but for the special tokens that it names: they part it
into stretches, and each is encoded by itself, as tokenizers does it.
"""

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from tokenizers import Tokenizer

_HIDDEN = "\x00"  # before a barred token's name: prompts with control characters are refused
_FIRST = '"prepend_scheme":"first"'


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


@lru_cache(maxsize=8)
def plain_tokenizer(tokenizer: Tokenizer, barred: frozenset[str], inner: bool = False) -> Tokenizer:
    """Make the tokenizer that finds none of the barred tokens in a text, and adds none.

    inner: for a text behind a special token, which some (Llama's) begin without a blank.
    """
    text = tokenizer.to_str()
    if inner and _FIRST not in text.replace(" ", ""):
        return plain_tokenizer(tokenizer, barred)
    state = json.loads(text) | dict.fromkeys(("post_processor", "truncation", "padding"))
    _hide(state["model"], barred)
    for token in state["added_tokens"]:
        token["content"] = _hidden(token["content"], barred)
    if inner:
        _unprefix(state["pre_tokenizer"])
    return Tokenizer.from_str(json.dumps(state))


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
