"""Engines of the tests as loaded systems: a pair's codec beside them."""

import gc
from collections.abc import Sequence
from typing import Any

from hybrid.engines.contract import Engine, LoadedSystem
from hybrid.measuring.answers import measure_answers
from hybrid.models.prompts import TextCodec
from hybrid.schema import EncodedPrompt, Generation, Sampling, System

EN_DE = "en-de-49m-6m"  # the bundled pair that is T5-shaped and has one tokenizer


def codec_of(pair: Any) -> TextCodec:
    """The codec of a bundle or a source."""
    codec: TextCodec = pair.codec("llm")
    return codec


def loaded(engine: Engine, pair: Any) -> LoadedSystem:
    return LoadedSystem(system=System(engine.method), engine=engine, codec=codec_of(pair))


def ask(
    engine: Engine, pair: Any, task: str, texts: Sequence[str], sampling: Sampling
) -> tuple[Generation, ...]:
    """What the engine answers, measured."""
    gc.freeze()  # a collection of all that tests have loaded takes a second; this is a matter of pointers
    try:
        return measure_answers(loaded(engine, pair), task, texts, sampling)
    finally:
        gc.unfreeze()


def encoded(
    pair: Any, texts: Sequence[str], task: str = "summarize", **truncate: bool
) -> tuple[EncodedPrompt, ...]:
    return codec_of(pair).encode(task, texts, **truncate)


def prompt_ids(pair: Any, text: str, task: str = "summarize") -> tuple[int, ...]:
    (prompt,) = encoded(pair, [text], task)
    return prompt.token_ids
