"""How a pretrained model is asked: its chat template, rendered once, or as its tokenizer frames a text.

A template is a program of somebody else's: it is rendered in transformers' sandbox when a
pair is made, around a text that stands for any, and what comes out is kept as plain text.
"""

from collections.abc import Collection, Mapping
from typing import Any

from tokenizers import Tokenizer

from hybrid.errors import PairError
from hybrid.format import printable
from hybrid.models.plain_text import stretches
from hybrid.schema import PromptFormat, Task

LARGEST_TEMPLATE = 2**17  # characters; the longest in use has some 20,000
LARGEST_FORMAT = 2**14  # characters before or behind a text
_TEXT = "HYBRIDTEXT7F3A"  # stands for the text; no template changes it
_ANSWER = "HYBRIDANSWER7F3A"


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
