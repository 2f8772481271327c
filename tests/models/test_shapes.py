"""The table of shapes: it agrees with what is published, and with what transformers builds from it."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid.benchmark.block import pair_shapes
from hybrid.errors import PairError
from hybrid.models.arithmetic import encode_flops, projector_products, reading_flops
from hybrid.models.bundle import load_bundle
from hybrid.models.known_shapes import all_shapes, find_shape, own_names, published_shapes
from hybrid.models.random_pair import empty_model
from hybrid.models.shapes import shape_of_config
from tests.models.two_tokenizers import save_any_pair

# As the models' pages and papers count them, written down apart from shapes.csv.
PUBLISHED = {
    "t5-small": 60_506_624,
    "t5-base": 222_903_552,
    "t5-large": 737_668_096,
    "t5-3b": 2_851_598_336,
    "t5-11b": 11_307_321_344,
    "flan-t5-small": 76_961_152,
    "flan-t5-base": 247_577_856,
    "flan-t5-large": 783_150_080,
    "flan-t5-xl": 2_849_757_184,
    "flan-t5-xxl": 11_135_332_352,
    "mt5-small": 300_176_768,
    "mt5-base": 582_401_280,
    "mt5-large": 1_229_581_312,
    "bart-base": 139_420_416,
    "bart-large": 406_291_456,
    "t5gemma-s-s": 312_517_632,
    "t5gemma-b-b": 591_490_560,
    "t5gemma-l-l": 1_241_761_792,
    "t5gemma-xl-xl": 3_766_980_608,
    "t5gemma-2b-2b": 5_596_853_760,
    "t5gemma-9b-9b": 20_333_401_088,
    "t5gemma-9b-2b": 12_292_375_296,
    "distilgpt2": 81_912_576,
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "pythia-70m": 70_426_624,
    "pythia-160m": 162_322_944,
    "pythia-410m": 405_334_016,
    "pythia-1b": 1_011_781_632,
    "pythia-1.4b": 1_414_647_808,
    "smollm2-135m": 134_515_008,
    "smollm2-360m": 361_821_120,
    "smollm2-1.7b": 1_711_376_384,
    "tinyllama-1.1b": 1_100_048_384,
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "llama-3.1-8b": 8_030_261_248,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-0.6b": 596_049_920,
    "qwen3-8b": 8_190_735_360,
    "gemma-3-270m": 268_098_176,
    "gemma-3-1b": 999_885_952,
}
T5 = {
    "model_type": "t5", "d_model": 512, "d_ff": 2048, "d_kv": 64, "num_heads": 8, "num_layers": 6,
    "vocab_size": 32128,
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_count(name: str) -> None:
    assert published_shapes()[name].parameters == PUBLISHED[name]


@pytest.mark.parametrize(("layer", "numbers"), [(1, (1,)), ((1, 2), (1, 2)), (None, ())])
def test_what_a_pairs_hybrid_reads_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layer, numbers
) -> None:
    manifest = save_any_pair(tmp_path / "any", "llama", "gpt2", layer=layer)
    llm, slm = pair_shapes(tmp_path / "any", manifest)
    assert (llm.decoder_layers, llm.family, slm.family) == (2, "llama", "gpt2")
    assert llm.read_layers == numbers
    projecting = 2 * 9 * projector_products(llm, slm).weights
    read = replace(llm, decoder_layers=numbers[-1] if numbers else 2, read_layers=())
    assert reading_flops("hybrid", llm, slm, 9) == encode_flops(read, 9) + projecting
    assert projector_products(llm, slm).rows == ((len(numbers) or 1) + 1) * llm.d_model + slm.d_model
    monkeypatch.setenv("HYBRID_ZOO", str(tmp_path))
    assert find_shape("bundled-llm").read_layers == numbers
    assert find_shape("bundled-llm@whole").read_layers == find_shape("bundled-slm").read_layers == ()
    assert find_shape("bundled-llm@2").read_layers == (2,)


def test_a_layer_of_a_shape_is_named_behind_it(tmp_path: Path) -> None:
    whole, one, two = (find_shape(f"smollm2-135m{read}") for read in ("", "@20", "@10+20"))
    assert (one.name, two.name) == ("smollm2-135m@20", "smollm2-135m@10+20")
    assert [shape.read_part.decoder_layers for shape in (whole, one, two)] == [30, 20, 20]
    assert [shape.states_width for shape in (whole, one, two)] == [576, 576, 2 * 576]
    assert [shape.reading for shape in (whole, one, two)] == ["", "layer 20 of 30", "layers 10 and 20 of 30"]
    assert len({shape.fingerprint for shape in (whole, one, two)}) == 3
    assert whole == replace(one, name=whole.name, read_layers=())
    file = find_shape(f"{config_of(tmp_path / 'own')}@2")
    assert (file.read_layers, file.name.endswith("@2")) == ((2,), True)


@pytest.mark.parametrize("read", ["31", "0", "20+10", "10+10", "10+31"])
def test_a_layer_that_a_shape_lacks_is_a_sentence(read: str) -> None:
    with pytest.raises(PairError, match=r"layer is \[.*\]; give blocks from 1 to 30 in rising order"):
        find_shape(f"smollm2-135m@{read}")
    with pytest.raises(PairError, match="no shape 'smollm2-135m@all'"):
        find_shape("smollm2-135m@all")


@pytest.mark.parametrize("name", published_shapes())
def test_count_of_the_built_model(name: str) -> None:
    shape = published_shapes()[name]
    model = empty_model(shape)
    assert sum(p.numel() for p in model.parameters()) == shape.counted_parameters == shape.parameters
    reader = model.base_model if shape.decoder_only else model.get_encoder()
    read = {id(p): p.numel() for p in reader.parameters()}
    assert sum(read.values()) == shape.encoder_parameters


def test_an_encoder_of_its_own_sizes_comes_back_from_its_config() -> None:
    shape = published_shapes()["t5gemma-9b-2b"]
    config = json.loads(empty_model(shape).config.to_json_string())
    other = shape_of_config(shape.name, config, shape.source)
    assert (other.parameters, other.fingerprint) == (shape.parameters, shape.fingerprint)
    assert (other.reader.d_model, other.d_model) == (3584, 2304)
    projector = projector_products(shape, published_shapes()["gpt2"])
    assert projector.rows == 2 * 3584 + 768  # the projector and the bridge


def test_v1_1_and_flan_are_alike() -> None:
    for size in ("small", "base", "large", "xl", "xxl"):
        original, flan = find_shape(f"t5-v1_1-{size}"), find_shape(f"flan-t5-{size}")
        assert original == replace(flan, name=original.name, source=original.source)


def test_bundled_pair_is_read_from_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HYBRID_ZOO", raising=False)
    monkeypatch.setattr("hybrid.models.manifest.DEFAULT_PAIR", "en-de-49m-6m")
    llm, slm = find_shape("bundled-llm"), find_shape("bundled-slm")
    assert (llm.d_model, llm.encoder_layers, llm.tied_head) == (384, 12, True)
    assert (slm.d_model, slm.decoder_layers, slm.source) == (256, 2, "en-de-49m-6m/slm")
    assert (llm.parameters, slm.parameters) == (49_176_192, 6_032_640)


def test_bundled_shapes_are_those_of_the_first_pair(tiny_zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRID_ZOO", str(tiny_zoo))
    bundle = load_bundle(root=tiny_zoo)
    for role in ("llm", "slm"):
        count = sum(p.numel() for p in bundle.model(role).parameters())
        assert all_shapes()[f"bundled-{role}"].parameters == count


def test_shapes_of_other_pairs_are_known_by_the_pairs_name(
    tiny_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo = tmp_path / "zoo"
    shutil.copytree(tiny_zoo / "tiny", zoo / "a-first")
    save_any_pair(zoo / "own", "llama", "gpt2")
    monkeypatch.setenv("HYBRID_ZOO", str(zoo))
    assert own_names() == ("bundled-llm", "bundled-slm", "own/llm", "own/slm")
    shape = find_shape("own/llm")
    assert (shape.name, shape.source, shape.family) == ("own/llm", "own/llm", "llama")
    assert all_shapes()["own/slm"].family == "gpt2"
    with pytest.raises(PairError, match="no shape 'other/llm'"):
        find_shape("other/llm")


def test_unknown_name_names_the_nearest() -> None:
    with pytest.raises(PairError, match=r"no shape 't5-lrge'\. Did you mean t5-large"):
        find_shape("t5-lrge")
    with pytest.raises(PairError, match=r"Did you mean flan-t5-base"):
        find_shape("google/flan-t5-base")


def test_name_like_no_other_has_no_suggestion() -> None:
    with pytest.raises(PairError) as caught:
        find_shape("zzzzzz")
    assert "Did you mean" not in str(caught.value)


def config_of(folder: Path, **more: object) -> str:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(T5 | more))
    return str(folder / "config.json")


def test_config_of_ones_own(tmp_path: Path) -> None:
    shape = find_shape(config_of(tmp_path / "my model"))
    assert re.fullmatch("my-model-[0-9a-f]{6}", shape.name)
    published = find_shape("t5-small")  # sizes, layers and head as their defaults say
    assert shape == replace(published, name=shape.name, source="my-model/config.json")


def test_a_checkpoint_is_named_with_its_model(tmp_path: Path) -> None:
    shape = find_shape(config_of(tmp_path / "my-model" / "checkpoint-1000"))
    assert shape.name.startswith("my-model-checkpoint-1000-")
    assert shape.source == "my-model-checkpoint-1000/config.json"


def test_configs_in_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    few = find_shape(config_of(tmp_path / "a" / "model", num_layers=2))
    many = find_shape(config_of(tmp_path / "b" / "model", num_layers=3))
    assert (few.decoder_layers, many.decoder_layers) == (2, 3)
    assert few.name != many.name
    assert find_shape(config_of(tmp_path / "c" / "model", num_layers=3)) == many
    assert find_shape(config_of(tmp_path / "t5-small", num_layers=2)).name not in published_shapes()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "does not describe a model"),
        ("[]", "does not describe a model"),
        ('{"model_type": "falcon_h1"}', "model_type is 'falcon_h1', not one of t5"),
        ('{"model_type": "llama"}', "num_attention_heads is missing|hidden_size is missing"),
        (json.dumps({k: v for k, v in T5.items() if k != "d_ff"}), "d_ff is missing"),
        (json.dumps(T5 | {"num_layers": -1}), "encoder_layers is -1"),
        (json.dumps(T5 | {"d_model": 10**12}), "d_model is 1000000000000"),
        (json.dumps(T5 | {"feed_forward_proj": "gated-silu"}), "feed_forward_proj is 'gated-silu'"),
    ],
)
def test_config_that_cannot_be_built(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(PairError, match=reason):
        find_shape(str(path))


def test_config_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PairError, match="cannot be read: No such file"):
        find_shape(str(tmp_path / "config.json"))


def test_bart_whose_halves_differ_is_refused() -> None:
    config = {
        "model_type": "bart", "d_model": 64, "vocab_size": 100, "max_position_embeddings": 32,
        "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 4, "decoder_attention_heads": 2,
        "encoder_ffn_dim": 128, "decoder_ffn_dim": 128,
    }  # fmt: skip
    with pytest.raises(ValueError, match="differ in more than their layers"):
        shape_of_config("halves", config, "here")
    shape = shape_of_config("halves", config | {"decoder_attention_heads": 4}, "here")
    model = empty_model(shape)
    assert sum(p.numel() for p in model.parameters()) == shape.parameters


@pytest.mark.parametrize("heads", [0, -3, 4])
def test_key_value_heads_serve_as_many_heads_each(heads: int) -> None:
    with pytest.raises(ValueError, match=f"key_value_heads is {heads}, for 9 heads"):
        replace(find_shape("smollm2-135m"), key_value_heads=heads)
    with pytest.raises(ValueError, match="a llama is decoder-only"):
        replace(find_shape("smollm2-135m"), encoder_layers=1)


def test_the_table_needs_no_torch() -> None:
    code = "import sys, hybrid.models.known_shapes as s; s.all_shapes(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
