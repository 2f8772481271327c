"""Any LLM with any SLM: reading, batches, padding, teacher forcing, saving, and one step of training."""

import pytest
import torch
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForSeq2SeqLM

from hybrid.models.pair import Hybrid, HybridConfig, HybridForCausalLM, HybridForConditionalGeneration
from hybrid.models.reading import new_encoder, share_weights
from tests.models.tiny import FAMILIES, PAD, VOCABULARY, tiny_model

GREEDY = {"max_new_tokens": 6, "do_sample": False, "num_beams": 1, "eos_token_id": None}
# LLM, SLM, and what else a pair is made of
PAIRS = {
    "t5+t5, middle": ("t5", "t5", {"layer": 2}),
    "t5+gpt2, bridge": ("t5", "gpt2", {"bridge": True}),
    "gpt2+t5": ("gpt2", "t5", {}),
    "gpt2+gpt2, middle, standardized": ("gpt2", "gpt2", {"layer": 1, "standardize": True}),
    "llama+gpt2, bridge, middle": ("llama", "gpt2", {"bridge": True, "layer": 2}),
    "llama+llama, replace": ("llama", "llama", {"fusion": "replace"}),
    "qwen3+marian, bridge": ("qwen3", "marian", {"bridge": True, "standardize": True}),
    "bart+qwen2, middle": ("bart", "qwen2", {"layer": 2}),
    "t5gemma+gemma3": ("t5gemma", "gemma3_text", {"bridge": True}),
    "gemma3+t5gemma": ("gemma3_text", "t5gemma", {"layer": 2}),
    "gpt_neox+bart": ("gpt_neox", "bart", {}),
    "opt+opt": ("opt", "opt", {"layer": 2, "bridge": True}),
}


@pytest.fixture(scope="module", params=PAIRS)
def pair(request) -> Hybrid:
    llm, slm, settings = PAIRS[request.param]
    torch.manual_seed(5)
    seed = 10 if slm == "t5gemma" else 1  # with which answers vary
    pair = Hybrid.from_parts(tiny_model(llm, 48), tiny_model(slm, 32, layers=2, seed=seed), **settings).eval()
    if pair.config.standardize:
        pair.projector.calibrate(pair.read(PROMPTS[-1], torch.ones_like(PROMPTS[-1])))
    return pair


def _prompts() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randint(3, VOCABULARY, (1, length), generator=generator) for length in (4, 11, 7, 20)]


PROMPTS = _prompts()


def batch(side: str = "right", filler: int = PAD) -> dict[str, torch.Tensor]:
    longest = max(ids.shape[1] for ids in PROMPTS)
    rows = [(longest - ids.shape[1], ids[0]) for ids in PROMPTS]
    pads = [(0, lack) if side == "right" else (lack, 0) for lack, _ in rows]
    padded = [functional.pad(ids, pad, value=filler) for (_, ids), pad in zip(rows, pads, strict=True)]
    masks = [functional.pad(torch.ones_like(ids), pad) for (_, ids), pad in zip(rows, pads, strict=True)]
    return {"input_ids": torch.stack(padded), "attention_mask": torch.stack(masks)}


def written(pair: Hybrid, **inputs) -> list[list[int]]:
    """The new ids alone: an encoder-decoder gives the id that stands before an answer, too."""
    ids = pair.generate(**inputs, **GREEDY)
    return ids[:, ids.shape[1] - GREEDY["max_new_tokens"] :].tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_reader_gives_the_hidden_states_of_its_layer_and_shares_all_weights(family):
    llm, ids = tiny_model(family), PROMPTS[1]
    whole = llm.get_encoder() if llm.config.is_encoder_decoder else llm.base_model
    with torch.no_grad():
        expected = whole(input_ids=ids, output_hidden_states=True)
        for layer in (None, 1, 2):
            reader = new_encoder(llm.config, layer).eval()
            share_weights(reader, llm)
            states = reader(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            assert torch.equal(states, expected.hidden_states[layer] if layer else expected.last_hidden_state)
            assert {weight.data_ptr() for weight in reader.parameters()} <= {
                weight.data_ptr() for weight in llm.parameters()
            }


def test_the_class_follows_the_slm(pair):
    encodes = pair.config.slm.is_encoder_decoder
    assert type(pair) is (HybridForConditionalGeneration if encodes else HybridForCausalLM)


def test_no_block_is_held_that_is_not_read(pair):
    reader = getattr(pair.llm.config, "encoder", pair.llm.config)
    assert reader.num_hidden_layers == (pair.config.layer or 3)


@pytest.mark.parametrize("side", ["right", "left"])
def test_reading_a_batch_equals_singles(pair, side):
    inputs = batch(side)
    together = pair.read(**inputs)
    for states, mask, ids in zip(together, inputs["attention_mask"], PROMPTS, strict=True):
        alone = pair.read(ids, torch.ones_like(ids))[0]
        torch.testing.assert_close(states[mask == 1], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("side", ["right", "left"])
def test_answers_of_a_batch_equal_singles(pair, side):
    alone = [written(pair, input_ids=ids, attention_mask=torch.ones_like(ids))[0] for ids in PROMPTS]
    assert written(pair, **batch(side)) == alone
    assert len({tuple(answer) for answer in alone}) > 1


def test_what_padding_holds_never_leaks(pair):
    clean, dirty = batch(), batch(filler=77)
    answers = torch.tensor([[9, 8, 7]] * len(PROMPTS))
    with torch.no_grad():
        states, expected = (pair.answer_states(**inputs, answer_ids=answers) for inputs in (dirty, clean))
    assert torch.equal(states, expected)


def test_teacher_forcing_predicts_what_is_generated(pair):
    """The states before the head, of the same prompts, give the very ids of generate()."""
    ids = torch.tensor(written(pair, **batch()))
    with torch.no_grad():
        logits = pair(**batch("left"), labels=ids).logits
        states = pair.answer_states(**batch(), answer_ids=ids)
    assert torch.equal(logits.argmax(-1), ids)
    assert states.shape == (*ids.shape, 32)
    head = pair.get_output_embeddings()
    if pair.config.slm.model_type in ("gpt2", "llama", "qwen2", "opt"):  # neither scaled nor capped
        torch.testing.assert_close(head(states), logits, rtol=1e-4, atol=1e-4)


def test_padding_of_answers_changes_nothing(pair):
    ids = torch.tensor([[5, 6, 7]] * len(PROMPTS))
    with torch.no_grad():
        short = pair.answer_states(**batch(), answer_ids=ids)
        long = pair.answer_states(**batch(), answer_ids=functional.pad(ids, (0, 2), value=-100))
    torch.testing.assert_close(long[:, :3], short, rtol=1e-4, atol=1e-4)


def test_another_prompts_latent_changes_the_answer(pair):
    other = pair.read(PROMPTS[1].roll(3, 1), torch.ones_like(PROMPTS[1]))
    own = pair.read(PROMPTS[1], torch.ones_like(PROMPTS[1]))
    assert written(pair, input_ids=PROMPTS[1], llm_hidden_states=own) == written(pair, input_ids=PROMPTS[1])
    answers = torch.tensor([[9, 8, 7]])
    with torch.no_grad():
        states, misled = (pair.answer_states(PROMPTS[1], None, answers, latent) for latent in (own, other))
    assert not torch.allclose(states, misled, atol=1e-2)


def test_it_saves_and_loads_the_same(pair, tmp_path):
    pair.save_pretrained(tmp_path)
    auto = AutoModelForSeq2SeqLM if pair.config.slm.is_encoder_decoder else AutoModelForCausalLM
    for loader in (type(pair), auto):
        again = loader.from_pretrained(tmp_path).eval()
        assert type(again) is type(pair)
        for name in ("fusion", "layer", "bridge", "standardize"):
            assert getattr(again.config, name) == getattr(pair.config, name)
        assert all(
            torch.equal(again.state_dict()[name], weight) for name, weight in pair.state_dict().items()
        )
        assert written(again, **batch()) == written(pair, **batch())


def test_one_step_of_training_lowers_the_loss_and_leaves_the_llm_alone(pair, tmp_path):
    pair.save_pretrained(tmp_path)
    own = type(pair).from_pretrained(tmp_path).train()
    own.llm.requires_grad_(False)
    ids = torch.tensor([[5, 6, 7, 1]] * len(PROMPTS))
    llm = {name: weight.clone() for name, weight in own.llm.state_dict().items()}

    def loss() -> torch.Tensor:
        own.eval()  # no dropout, so that both can be compared
        states = own.answer_states(**batch(), answer_ids=ids)
        return functional.cross_entropy(own.get_output_embeddings()(states).flatten(0, 1), ids.flatten())

    before = loss()
    before.backward()
    trainable = own.trainable()
    parts = {"projector", "slm"} | ({"bridge"} if own.config.bridge else set())
    assert {name.split(".")[0] for name in trainable} == parts
    assert all(
        weight.grad is not None for name, weight in trainable.items() if name.startswith(("proj", "bri"))
    )
    torch.optim.SGD(trainable.values(), lr=1e-3).step()
    assert loss() < before
    assert all(torch.equal(own.llm.state_dict()[name], weight) for name, weight in llm.items())


def test_parts_are_shared_not_copied(pair):
    again = Hybrid.from_parts(tiny_model("llama"), pair.slm, layer=1)
    assert again.slm is pair.slm
    assert not any(tensor.is_meta for tensor in (*again.parameters(), *again.buffers()))


@pytest.mark.parametrize("layer", [0, 4, -1])
def test_a_layer_that_is_not_there_is_refused(layer):
    with pytest.raises(ValueError, match=f"layer is {layer}; this llama has blocks 1 to 3"):
        Hybrid.from_parts(tiny_model("llama"), tiny_model("t5"), layer=layer)


@pytest.mark.parametrize("layer", [(), (2, 1), (1, 1), (0, 2), (1, 4)])
def test_several_layers_are_there_and_in_order(layer):
    with pytest.raises(
        ValueError, match=r"layer is .*; (give one number of a block|this llama has blocks 1)"
    ):
        Hybrid.from_parts(tiny_model("llama"), tiny_model("t5"), layer=layer)


@pytest.mark.parametrize("family", ["llama", "gpt2", "t5"])
def test_several_layers_are_read_side_by_side_each_as_it_is(family):
    llm = tiny_model(family)
    mask = torch.ones_like(PROMPTS[1])
    pair = Hybrid.from_parts(llm, tiny_model("t5"), layer=(1, 3)).eval()
    alone = [Hybrid.from_parts(llm, tiny_model("t5"), layer=n).eval().read(PROMPTS[1], mask) for n in (1, 3)]
    torch.testing.assert_close(pair.read(PROMPTS[1], mask), torch.cat(alone, dim=-1))
    assert HybridConfig.from_dict(pair.config.to_dict()).layer == (1, 3)


def test_another_llms_weights_are_refused():
    pair = Hybrid.from_parts(tiny_model("llama"), tiny_model("t5"))
    with pytest.raises(
        ValueError, match="weights of a GPT2LMHeadModel do not hold those of the pair's LlamaModel"
    ):
        pair.share_encoder(tiny_model("gpt2"))


def test_a_pair_needs_answers_to_predict():
    pair = Hybrid.from_parts(tiny_model("gpt2"), tiny_model("gpt2"))
    with pytest.raises(ValueError, match="answer_ids or labels"):
        pair(input_ids=PROMPTS[0])


def test_standardized_states_have_mean_0_and_deviation_1():
    pair = Hybrid.from_parts(tiny_model("gpt2"), tiny_model("gpt2"), layer=2, standardize=True)
    states = pair.read(PROMPTS[3], torch.ones_like(PROMPTS[3])) * 50 + 7
    pair.projector.calibrate(states)
    read = (states - pair.projector.shift) * pair.projector.gain
    torch.testing.assert_close(read.mean((0, 1)), torch.zeros(32), rtol=0, atol=1e-4)
    torch.testing.assert_close(read.std((0, 1), correction=0), torch.ones(32), rtol=1e-4, atol=1e-4)
    (up, up_bias), (down, down_bias) = pair.projector.folded()
    folded = functional.linear(torch.relu(functional.linear(states, up, up_bias)), down, down_bias)
    torch.testing.assert_close(folded, pair.projector(states), rtol=1e-4, atol=1e-4)


def test_only_what_standardizes_is_calibrated():
    pair = Hybrid.from_parts(tiny_model("gpt2"), tiny_model("gpt2"))
    with pytest.raises(ValueError, match="standardize=True"):
        pair.projector.calibrate(torch.zeros(3, 32))


def test_a_configuration_of_before_means_the_same(pair):
    old = {name: getattr(pair.config, name).to_dict() for name in ("llm", "slm")}
    config = HybridConfig(**old, fusion="add", is_encoder_decoder=True)
    assert (config.layer, config.bridge, config.standardize) == (None, False, False)


def test_of_a_model_that_sees_images_only_its_language_model_reads():
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = tiny_model("gemma3_text").config.to_dict()
    vision = {"image_size": 28, "patch_size": 14} | sizes
    config = AutoConfig.for_model("gemma3", text_config=text, vision_config=vision, mm_tokens_per_image=4)
    whole = AutoModelForImageTextToText.from_config(config).eval()
    pair = Hybrid.from_parts(whole, tiny_model("t5"), layer=2).eval()
    mask = torch.ones_like(PROMPTS[1])
    with torch.no_grad():
        states = whole(input_ids=PROMPTS[1], attention_mask=mask, output_hidden_states=True).hidden_states
    torch.testing.assert_close(pair.read(PROMPTS[1], mask), states[2])
    assert pair.llm.config.model_type == "gemma3_text"
