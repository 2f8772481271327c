"""Prompts and answers beyond a model's positions: one sentence, with both numbers and what to change."""

import pytest

from hybrid.errors import EngineError
from hybrid.models.context import Context, check_room, contexts_of
from hybrid.models.fused_model import HybridConfig
from tests.models.tiny import FAMILIES, tiny_config

WHOLE = "a prompt with its answer"


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_says_how_far_it_goes(family):
    config = tiny_config(family)
    expected = {"a prompt", "an answer"} if config.is_encoder_decoder else {WHOLE}
    contexts = contexts_of([config])
    if family in ("t5", "mt5"):  # relative positions have no end
        assert contexts == ()
        return
    assert {context.text for context in contexts} == expected
    assert {context.positions for context in contexts} == {256}


def test_a_hybrid_reads_a_prompt_and_writes_behind_it():
    llama, gpt2, t5 = (tiny_config(family) for family in ("llama", "gpt2", "t5"))
    llama.max_position_embeddings = 20
    contexts = contexts_of([HybridConfig(llama, gpt2)])
    assert contexts == (Context("llama that reads", "a prompt", 20), Context("gpt2", WHOLE, 256))
    check_room(contexts, 20, 237)
    with pytest.raises(
        EngineError, match=r"llama that reads .* 20 tokens; a prompt would take 21\. Give a short"
    ):
        check_room(contexts, 21, 1)
    with pytest.raises(
        EngineError, match=r"gpt2 has .* 256 tokens; a prompt with its answer would take 257\."
    ):
        check_room(contexts, 20, 238)
    assert contexts_of([HybridConfig(t5, t5)]) == ()
    assert contexts_of([llama, HybridConfig(llama, t5), llama]) == (
        Context("llama", WHOLE, 20),
        Context("llama that reads", "a prompt", 20),
    )


def test_an_encoder_of_its_own_length_bounds_the_prompt():
    config = tiny_config("t5gemma")
    config.encoder.max_position_embeddings = 30
    with pytest.raises(EngineError, match=r"30 tokens; a prompt would take 31"):
        check_room(contexts_of([config]), 31, 200)
    with pytest.raises(EngineError, match=r"256 tokens; an answer would take 257\. Give fewer new tokens"):
        check_room(contexts_of([config]), 30, 257)
