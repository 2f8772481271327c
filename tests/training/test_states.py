"""What the frozen LLM has read is kept as it was read, and a stage computes the same with it or without."""

from functools import partial

import numpy as np
import pytest
import torch
from transformers.modeling_layers import GradientCheckpointingLayer

from hybrid.models.fusion import ReadLayers
from hybrid.models.pair import Hybrid
from hybrid.training.batches import Batch, Side
from hybrid.training.recipe import Stage
from hybrid.training.stage_module import (
    StageModule,
    compile_parts,
    continue_prompts,
    hybrid_states,
    read_prompts,
)
from hybrid.training.states import calibrate, keep_states
from tests.models.tiny import tiny_model

CPU = torch.device("cpu")
STAGE = Stage("h", "hybrid", 1, reads_with="llm")


@pytest.fixture
def side() -> Side:
    lengths = np.asarray([5, 9, 2, 7])
    flat = np.random.default_rng(0).integers(3, 90, lengths.sum())
    return Side(flat, lengths, CPU)


@pytest.fixture
def batch(side: Side) -> Batch:
    rows = torch.tensor([1, 3, 0])
    mask = (torch.arange(10) < side.lengths[rows][:, None]).long()
    labels = torch.randint(3, 90, (3, 6), generator=torch.Generator().manual_seed(1))
    labels[1, 4:] = -100
    return Batch(side.gather(rows, 10, 0), mask, labels, rows)


def pair_of(llm: str = "llama", slm: str = "t5", layer: ReadLayers = 2) -> Hybrid:
    models = tiny_model(llm, 32, 3), tiny_model(slm, 16, 2, seed=1)
    return Hybrid.from_parts(*models, layer=layer, bridge=True, standardize=True).eval()


@pytest.mark.parametrize(("llm", "layer"), [
    ("llama", 2), ("llama", None), ("t5", None), ("gpt2", 1), ("gpt2", (1, 3)), ("t5", (1, 2))
])  # fmt: skip
def test_prompts_are_read_as_the_pair_reads_them(llm: str, layer: ReadLayers, batch: Batch) -> None:
    pair, seen = pair_of(llm, layer=layer), batch.mask.bool()
    expected = pair.read(batch.source, batch.mask)
    torch.testing.assert_close(read_prompts(pair, batch.source, batch.mask)[seen], expected[seen])


@pytest.mark.parametrize("llm", ["llama", "t5", "gpt2"])
def test_several_layers_are_read_through_compiled_ones(llm: str, batch: Batch, monkeypatch) -> None:
    pair = pair_of(llm, layer=(1, 3))
    prompts = [(batch.source[:, :width], batch.mask[:, :width]) for width in (10, 9, 10, 8)]
    expected = [read_prompts(pair, *several) for several in prompts]
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    module = StageModule(STAGE, pair, None)
    compile_parts(module)
    compiling = []
    for block in pair.llm.modules():
        if isinstance(block, GradientCheckpointingLayer):
            block.register_forward_hook(lambda *_: compiling.append(torch.compiler.is_compiling()))
    for several, states in zip(prompts, expected, strict=True):  # one compiled graph serves them all
        torch.testing.assert_close(read_prompts(pair, *several), states)
    assert len(compiling) == 3 * 4  # blocks, each time
    assert not any(compiling)


@pytest.mark.parametrize(
    ("llm", "layer"), [("llama", 2), ("llama", (1, 3)), ("t5", (1, 3)), ("gpt2", (1, 3))]
)
def test_reading_looks_at_no_value_on_the_host(
    llm: str, layer: ReadLayers, batch: Batch, monkeypatch
) -> None:
    """As it must not where a step is captured as a graph; the device meta has no values to look at."""
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind: False)  # which meta has none of
    pair = pair_of(llm, layer=layer).to("meta")
    states = read_prompts(pair, batch.source.to("meta"), batch.mask.to("meta"))
    assert states.shape == (3, 10, 32 * (1 if layer == 2 else 2))


@pytest.mark.parametrize("layer", [2, (1, 3)])
def test_kept_states_are_those_of_each_prompt_in_16_bits(side: Side, batch: Batch, layer: ReadLayers) -> None:
    pair, seen = pair_of(layer=layer), batch.mask.bool()
    states = keep_states(pair, side, 1.0)
    read = read_prompts(pair, batch.source, batch.mask)[seen]
    torch.testing.assert_close(states.gather(batch.rows, 10)[seen].float(), read, rtol=0.01, atol=0.02)
    assert keep_states(pair, side, 0.0) is None


@pytest.mark.parametrize("slm", ["t5", "gpt2", "bart"])
def test_losses_with_kept_states_are_those_of_reading_anew(side: Side, batch: Batch, slm: str) -> None:
    pair = pair_of(slm=slm)
    calibrate(pair, side, 0)
    anew = StageModule(STAGE, pair, None).eval()(*batch)
    module = StageModule(STAGE, pair, None, keep_states(pair, side, 1.0)).eval()
    module.training = True  # dropout stays off
    torch.testing.assert_close(module(*batch), anew, rtol=0.01, atol=0.01)


@pytest.mark.parametrize("slm", ["t5", "gpt2", "bart", "t5gemma"])
def test_a_stage_predicts_from_what_the_pair_does(batch: Batch, slm: str) -> None:
    pair, scored = pair_of(slm=slm), batch.labels != -100
    latent = pair.read(batch.source, batch.mask)
    mine = hybrid_states(pair, batch.source, batch.mask, batch.labels, latent)
    expected = pair.answer_states(batch.source, batch.mask, batch.labels, latent)
    torch.testing.assert_close(mine[scored], expected[scored], rtol=1e-4, atol=1e-5)


def test_calibration_standardizes_the_prompts_tokens(side: Side) -> None:
    pair = pair_of()
    calibrate(pair, side, 0)
    states = keep_states(pair, side, 1.0)._states.float()
    seen = (states - pair.projector.shift) * pair.projector.gain
    torch.testing.assert_close(seen.mean(0), torch.zeros(32), atol=0.02, rtol=0)
    torch.testing.assert_close(seen.std(0, correction=0), torch.ones(32), atol=0.02, rtol=0)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_decoder_only_teacher_goes_on_behind_each_prompt(batch: Batch, family: str) -> None:
    model = tiny_model(family).eval()
    states = continue_prompts(model, batch.source, batch.mask, batch.labels)
    for row in range(3):
        prompt = batch.source[row][batch.mask[row].bool()]
        answer = batch.labels[row][batch.labels[row] != -100]
        ids = torch.cat([prompt, answer[:-1]])[None]
        alone = model.get_decoder()(input_ids=ids).last_hidden_state[0, len(prompt) - 1 :]
        torch.testing.assert_close(states[row, : len(answer)], alone, rtol=1e-4, atol=1e-5)
