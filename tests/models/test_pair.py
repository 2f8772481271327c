"""The pair: padding never leaks, zero projection is the SLM, the LLM never learns, it saves and loads."""

import copy

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM

from hybrid.models.pair import HybridConfig, HybridForConditionalGeneration
from hybrid.schema import TASKS
from tests.loaded import prompt_ids

TEXTS = (
    "bridge",
    "The committee agreed that the new bridge should be opened before winter.",
    "Das Haus am Fluss ist alt.",
    "many people live there, and all of them opened the old house by the river before the winter of 1987",
)
GREEDY = {"max_new_tokens": 12, "do_sample": False, "num_beams": 1}


@pytest.fixture(scope="module")
def pair(tiny_bundle) -> HybridForConditionalGeneration:
    return tiny_bundle.hybrid


@pytest.fixture
def own_pair(pair):
    """A copy whose weights a test may change."""
    return copy_of(pair)


@pytest.fixture(scope="module")
def prompts(tiny_bundle) -> list[torch.Tensor]:
    tasks = [*TASKS, *TASKS]
    ids = [prompt_ids(tiny_bundle, text, task) for task, text in zip(tasks, TEXTS, strict=True)]
    return [torch.tensor([prompt]) for prompt in ids]


def copy_of(pair, fusion="add") -> HybridForConditionalGeneration:
    config = copy.deepcopy(pair.config)
    config.fusion = fusion
    copied = HybridForConditionalGeneration(config).eval()
    copied.load_state_dict(pair.state_dict())
    return copied


def padded(prompts: list[torch.Tensor], filler: int = 0) -> dict[str, torch.Tensor]:
    longest = max(ids.shape[1] for ids in prompts)
    batch = torch.full((len(prompts), longest), filler)
    mask = torch.zeros_like(batch)
    for row, ids in enumerate(prompts):
        batch[row, : ids.shape[1]] = ids[0]
        mask[row, : ids.shape[1]] = 1
    return {"input_ids": batch, "attention_mask": mask}


def logits(model, ids, **inputs) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=ids, decoder_input_ids=torch.tensor([[0, 7, 9]] * len(ids)), **inputs).logits


def answer(row: torch.Tensor) -> list[int]:
    """Generated ids without the start token and the padding that fills a batch."""
    return [int(i) for i in row[1:] if i != 0]


@pytest.mark.parametrize("shortest", [1, 8])  # answers that end early, and answers that differ
@pytest.mark.parametrize("fusion", ["add", "replace"])
def test_batch_equals_singles(pair, prompts, fusion, shortest):
    model, settings = copy_of(pair, fusion), GREEDY | {"min_new_tokens": shortest}
    together = model.generate(**padded(prompts), **settings)
    alone = [answer(model.generate(ids, **settings)[0]) for ids in prompts]
    assert [answer(row) for row in together] == alone
    assert shortest == 1 or len({tuple(written) for written in alone}) == len(prompts)


@pytest.mark.parametrize("fusion", ["add", "replace"])
def test_logits_of_a_batch_equal_singles(pair, prompts, fusion):
    model, batch = copy_of(pair, fusion), padded(prompts)
    together = logits(model, batch["input_ids"], attention_mask=batch["attention_mask"])
    alone = torch.cat([logits(model, ids) for ids in prompts])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("fusion", ["add", "replace"])
def test_what_padding_holds_never_leaks(pair, prompts, fusion):
    model = copy_of(pair, fusion)
    clean, dirty = padded(prompts), padded(prompts, filler=77)
    expected = logits(model, clean["input_ids"], attention_mask=clean["attention_mask"])
    assert torch.equal(logits(model, dirty["input_ids"], attention_mask=dirty["attention_mask"]), expected)
    states = model.read(**clean)
    states[clean["attention_mask"] == 0] = 1e6
    padded_logits = logits(
        model, clean["input_ids"], attention_mask=clean["attention_mask"], llm_hidden_states=states
    )
    assert torch.equal(padded_logits, expected)


def test_padding_is_recognised_without_a_mask(pair, prompts):
    batch = padded(prompts)
    with_mask = logits(pair, batch["input_ids"], attention_mask=batch["attention_mask"])
    assert torch.equal(logits(pair, batch["input_ids"]), with_mask)


def test_a_zero_projector_with_add_equals_the_slm(own_pair, prompts):
    assert not torch.allclose(logits(own_pair, prompts[1]), logits(own_pair.slm, prompts[1]), atol=1e-2)
    for parameter in own_pair.projector.parameters():
        parameter.data.zero_()
    batch = padded(prompts)
    assert torch.equal(logits(own_pair, prompts[1]), logits(own_pair.slm, prompts[1]))
    assert torch.equal(own_pair.generate(**batch, **GREEDY), own_pair.slm.generate(**batch, **GREEDY))


def test_replace_ignores_the_slms_embeddings_of_the_prompt(pair, prompts):
    before = {}
    for fusion in ("add", "replace"):
        model = copy_of(pair, fusion)
        with torch.no_grad():
            before[fusion] = model.encode(prompts[1])
            model.slm.get_input_embeddings().weight.add_(1.0)
            changed = not torch.equal(model.encode(prompts[1]), before[fusion])
        assert changed == (fusion == "add")


def test_another_prompts_latent_changes_the_answer(pair, prompts):
    """What the control of a benchmark does: feed hidden states of another prompt."""
    ids = prompts[3]
    other = pair.read(torch.roll(ids, 3, 1), torch.ones_like(ids))
    own = pair.read(ids, torch.ones_like(ids))
    plain = pair.generate(ids, **GREEDY)
    assert torch.equal(pair.generate(ids, llm_hidden_states=own, **GREEDY), plain)
    assert not torch.equal(pair.generate(ids, llm_hidden_states=other, **GREEDY), plain)


def test_it_saves_only_safetensors_and_loads_the_same(pair, prompts, tmp_path):
    pair.save_pretrained(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    for loader in (HybridForConditionalGeneration, AutoModelForSeq2SeqLM):
        again = loader.from_pretrained(tmp_path)
        assert isinstance(again, HybridForConditionalGeneration)
        assert again.config.fusion == pair.config.fusion
        assert torch.equal(logits(again.eval(), prompts[1]), logits(pair, prompts[1]))
        assert torch.equal(again.generate(prompts[0], **GREEDY), pair.generate(prompts[0], **GREEDY))


def test_sampling_and_beams_run(pair, prompts):
    batch = padded(prompts)
    torch.manual_seed(0)
    sampled = pair.generate(**batch, max_new_tokens=6, do_sample=True, num_return_sequences=2)
    beams = pair.generate(**batch, max_new_tokens=6, do_sample=False, num_beams=3, num_return_sequences=2)
    assert sampled.shape[0] == beams.shape[0] == 2 * len(prompts)
    assert max(sampled.shape[1], beams.shape[1]) <= 7


def test_the_llm_only_reads_while_the_rest_learns(own_pair, prompts):
    own_pair.train()
    assert own_pair.training
    assert own_pair.slm.training
    assert not any(module.training for module in own_pair.llm.modules())
    own_pair(input_ids=prompts[1], labels=torch.tensor([[5, 6, 1]])).loss.backward()
    assert all(parameter.grad is None for parameter in own_pair.llm.parameters())
    trainable = own_pair.trainable()
    assert all(parameter.grad is not None for parameter in trainable.values())
    assert {name.split(".")[0] for name in trainable} == {"projector", "slm"}
    assert not own_pair.eval().training


def test_loss_ignores_what_is_not_scored(pair, prompts):
    with torch.no_grad():
        short = pair(input_ids=prompts[1], labels=torch.tensor([[5, 6, 1]])).loss
        filled = pair(input_ids=prompts[1], labels=torch.tensor([[5, 6, 1, -100, -100]])).loss
    torch.testing.assert_close(short, filled)


def test_parts_are_shared_not_copied(tiny_bundle, pair):
    assembled = HybridForConditionalGeneration.from_parts(tiny_bundle.llm, pair.slm)
    shared, original = (
        assembled.llm.get_input_embeddings().weight,
        tiny_bundle.llm.get_input_embeddings().weight,
    )
    assert shared.data_ptr() == original.data_ptr()
    assert assembled.slm is pair.slm


def test_it_needs_something_to_read(pair):
    with pytest.raises(ValueError, match="input_ids or encoder_outputs"):
        pair(decoder_input_ids=torch.tensor([[0]]))


def test_a_config_says_what_is_wrong(pair):
    with pytest.raises(ValueError, match=r"'concat'; available: add, replace"):
        HybridConfig(pair.config.llm, pair.config.slm, fusion="concat")
    with pytest.raises(ValueError, match="llm and slm"):
        HybridConfig(pair.config.llm)
