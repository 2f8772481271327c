"""How many tokens the models of a method take, by their positions: what is beyond is refused by one sentence.

A table of learned positions ends there. Rotary positions go on, but the model was never
trained beyond, so that what it writes there says nothing of it; relative ones (T5) have no end.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from transformers import PretrainedConfig

from hybrid.errors import EngineError

RELATIVE = ("t5", "mt5", "umt5", "longt5", "switch_transformers")  # families whose positions have no end
Text = Literal["a prompt", "an answer", "a prompt with its answer"]
FIXES: Mapping[Text, str] = {
    "a prompt": "a shorter prompt",
    "an answer": "fewer new tokens (--max-new-tokens)",
    "a prompt with its answer": "a shorter prompt or fewer new tokens (--max-new-tokens)",
}


@dataclass(frozen=True)
class Context:
    """A bound of one model. model: its family. text: what takes its `positions`, in tokens."""

    model: str
    text: Text
    positions: int

    def tokens(self, prompt: int, answer: int) -> int:
        """Count the positions that a prompt and an answer of so many tokens take here."""
        if self.text == "a prompt with its answer":
            return prompt + answer - 1  # nothing is computed from the last id
        return prompt if self.text == "a prompt" else answer


def contexts_of(configs: Iterable[PretrainedConfig]) -> tuple[Context, ...]:
    """Read the bounds of all models that take part in an answer; none where positions are relative."""
    bounds = dict.fromkeys(bound for config in configs for bound in _bounds(config))
    return tuple(Context(model, text, count) for model, text, count in bounds if count is not None)


def positions_in(config: Mapping[str, Any]) -> int | None:
    """Read from a config.json how many tokens a model has positions for; None where nothing bounds them."""
    if config.get("model_type") in RELATIVE:
        return None
    length = config.get("max_position_embeddings") or config.get("n_positions")
    return length if type(length) is int else None


def check_room(contexts: Iterable[Context], prompt: int, answer: int) -> None:
    """Raise EngineError when a model has no positions for a prompt and an answer of so many tokens."""
    for context in contexts:
        tokens = context.tokens(prompt, answer)
        if tokens > context.positions:
            raise EngineError(
                f"The {context.model} has positions for {context.positions} tokens; {context.text} would "
                f"take {tokens}. Give {FIXES[context.text]}."
            )


def _bounds(config: Any) -> list[tuple[str, Text, int | None]]:
    family = config.model_type
    if isinstance(getattr(config, "llm", None), PretrainedConfig):  # a hybrid's
        reads: tuple[str, Text, int | None] = (
            f"{config.llm.model_type} that reads",
            "a prompt",
            _reads(config.llm),
        )
        return [reads, *_bounds(config.slm)]
    writes = _positions(config.get_text_config(decoder=True))
    if config.is_encoder_decoder:
        return [(family, "a prompt", _reads(config)), (family, "an answer", writes)]
    return [(family, "a prompt with its answer", writes)]


def _reads(config: Any) -> int | None:
    """Count the positions of what reads a prompt: a T5Gemma's encoder has a configuration of its own."""
    return _positions(getattr(config, "encoder", None) or config.get_text_config())


def _positions(config: Any) -> int | None:
    count = getattr(config, "max_position_embeddings", None)  # GPT-2's n_positions, too
    return count if isinstance(count, int) and count > 0 else None
