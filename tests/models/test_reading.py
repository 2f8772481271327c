"""Several layers of one LLM are read in one pass: each as it is, and nothing else is held meanwhile."""

import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from hybrid.models.reading import new_encoder, read_states, share_weights
from tests.models.tiny import FAMILIES, tiny_model


@pytest.mark.parametrize("family", FAMILIES)
def test_of_several_layers_no_other_state_is_held(family):
    llm = tiny_model(family, 32, 6)
    reader = new_encoder(llm.config, (2, 6))
    share_weights(reader, llm)
    blocks = next(m for m in reader.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == 6)
    outputs, held = [], []

    def look(block, *_):
        if block is blocks[5]:
            held.extend(number for number, output in enumerate(outputs, 1) if output() is not None)

    def note(_, __, output):
        outputs.append(weakref.ref(output[0] if isinstance(output, tuple) else output))

    for block in blocks:
        block.register_forward_pre_hook(look)
        block.register_forward_hook(note)
    with torch.no_grad():
        read_states(reader, (2, 6), input_ids=torch.tensor([[3, 4, 5]]))
    assert held == [2, 5]  # what is read, and what the last block begins with


def test_two_threads_read_with_one_model_each_its_own_prompts():
    llm = tiny_model("llama", 32, 3)
    reader = new_encoder(llm.config, (1, 3))
    share_weights(reader, llm)
    prompts = [torch.tensor([[3 + n, 4, 5 + n]]) for n in range(8)]

    @torch.no_grad()
    def read(ids):
        return [read_states(reader, (1, 3), input_ids=ids) for _ in range(20)]

    alone = [read(ids)[0] for ids in prompts]
    with ThreadPoolExecutor(len(prompts)) as pool:
        for expected, together in zip(alone, pool.map(read, prompts), strict=True):
            assert all(torch.equal(states, expected) for states in together)
