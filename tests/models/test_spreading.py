"""An LLM over several devices, which here are the CPU and the disk: it reads and writes as on one."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import accelerate
import pytest
import torch

from hybrid.engines import transformers_engine
from hybrid.engines.contract import Engine, EngineConfig
from hybrid.engines.cuda import engine as cuda_engine
from hybrid.engines.torch import engine as torch_engine
from hybrid.errors import EngineError
from hybrid.models import reading
from hybrid.models.bundle import Placement
from hybrid.models.pair import Hybrid
from hybrid.models.reading import SpreadReader, devices_of, needs_several, spread
from hybrid.models.references import load_model, loading, resolve
from hybrid.models.sources import ZooSource
from hybrid.models.writing import save_pair, texts_of
from hybrid.schema import Device, EncodedPrompt, Notice, Sampling
from tests.models.tiny import tiny_model
from tests.models.two_tokenizers import KINDS, LIMIT, TASKS_OF_PAIR, model_for

GB = 10**9
IDS, MASK = torch.tensor([[5, 6, 7, 8, 9, 0], [4, 5, 6, 7, 8, 9]]), torch.tensor([[1] * 5 + [0], [1] * 6])
METHODS = ("llm", "slm", "hybrid", "lossless-lookup")


@pytest.mark.parametrize(
    ("free", "dtype", "several"),
    [
        ([], "bfloat16", False),
        ([10 * GB], "bfloat16", False),  # one alone, too small
        ([20 * GB, 20 * GB], "bfloat16", False),
        ([10 * GB, 10 * GB], "bfloat16", True),
        ([20 * GB, 20 * GB], "float32", True),
        ([5 * GB, 5 * GB], "bfloat16", False),  # nor do they hold it together
    ],
)
def test_seven_billion_parameters_are_spread_where_they_fit_on_no_gpu_alone(
    monkeypatch, free, dtype, several
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: bool(free))
    monkeypatch.setattr("torch.cuda.device_count", lambda: len(free))
    monkeypatch.setattr("torch.cuda.current_device", lambda: 0)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda n: (free[n], free[n]))
    assert needs_several(7 * GB, dtype) is several


def over_cpu_and_disk(model, folder: Path):
    """The same model, of which the CPU holds a part."""
    folder.mkdir()
    model.save_pretrained(folder)
    size = sum(weight.numel() * 4 for weight in model.parameters())
    return type(model).from_pretrained(
        folder, device_map="auto", max_memory={"cpu": int(size * 0.8)}, dtype=torch.float32
    )


@pytest.mark.parametrize("layer", [None, 2, (1, 3)])
@pytest.mark.filterwarnings("ignore:The following device_map keys")  # a BART's bias of logits is no module
@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3_text", "t5", "bart"])
def test_a_hybrid_reads_with_a_model_that_is_spread(tmp_path, family, layer):
    llm, slm = tiny_model(family, 48), tiny_model("gpt2", 32, layers=2, seed=1)
    whole = Hybrid.from_parts(llm, slm, layer=layer, bridge=True).eval()
    placed = over_cpu_and_disk(llm, tmp_path / "llm")
    assert devices_of(placed) == ("cpu", "disk")
    pair = Hybrid.from_parts(placed, slm, layer=layer, bridge=True).eval()
    pair.load_state_dict({n: t for n, t in whole.state_dict().items() if not n.startswith("llm.")})
    assert isinstance(pair.llm, SpreadReader)
    assert not list(pair.llm.parameters())
    torch.testing.assert_close(pair.read(IDS, MASK)[MASK.bool()], whole.read(IDS, MASK)[MASK.bool()])
    written = [p.generate(IDS, MASK, max_new_tokens=5, do_sample=False) for p in (pair, whole)]
    assert torch.equal(*written)


def test_a_layer_that_is_not_there_is_refused(tmp_path):
    placed = over_cpu_and_disk(tiny_model("llama", 48), tmp_path / "llm")
    with pytest.raises(ValueError, match="layer is 4"):
        Hybrid.from_parts(placed, tiny_model("gpt2", 32, seed=1), layer=4)


def test_a_model_in_memory_is_spread(monkeypatch, tmp_path):
    """An LLM of the pair's own folder, which is read there first."""
    model = tiny_model("llama", 48)
    size = sum(weight.numel() * 4 for weight in model.parameters())
    with torch.inference_mode():
        expected = model(input_ids=IDS).logits
    monkeypatch.setattr(reading, "free_gpu_bytes", lambda: {"cpu": int(size * 0.8)})
    monkeypatch.setattr(reading, "dispatch_model", partial(accelerate.dispatch_model, offload_dir=tmp_path))
    placed = spread(model, torch.float32)
    assert devices_of(placed) == ("cpu", "disk")
    with torch.inference_mode():
        torch.testing.assert_close(placed(input_ids=IDS).logits, expected)


@pytest.fixture
def source(monkeypatch, tmp_path) -> ZooSource:
    """A pair that refers to a Llama of its own, with a GPT-2 of another tokenizer."""
    folder = tmp_path / "llama"
    folder.mkdir()
    make, eos, _ = KINDS["llama"]
    make().save(str(folder / "tokenizer.json"))
    model = model_for("llama", make(), 64, 1, eos_token_id=make().token_to_id(eos), num_hidden_layers=4)
    model.save_pretrained(folder)
    other = tmp_path / "gpt2"
    other.mkdir()
    KINDS["gpt2"][0]().save(str(other / "tokenizer.json"))
    model_for("gpt2", KINDS["gpt2"][0](), 32, 2).save_pretrained(other)
    checkpoints = {"llm": resolve(str(folder)), "slm": resolve(str(other))}
    hybrid = Hybrid.from_parts(
        load_model(checkpoints["llm"]), load_model(checkpoints["slm"]), layer=3, bridge=True
    ).eval()
    texts = {role: texts_of(checkpoint, TASKS_OF_PAIR) for role, checkpoint in checkpoints.items()}
    save_pair(tmp_path / "zoo" / "far", texts, TASKS_OF_PAIR, checkpoints | {"hybrid": hybrid}, LIMIT, {})
    size = checkpoints["llm"].parameters * 4
    monkeypatch.setattr(loading, "_place", lambda *a: "auto" if a[2] == "auto" else "cpu")
    monkeypatch.setattr(loading, "free_gpu_bytes", lambda: {"cpu": int(size * 0.8)})
    return ZooSource("far", tmp_path / "zoo")


def ids_of(engine: Engine) -> list[int]:
    steps = engine.generate([EncodedPrompt((7, 8, 9, 10, 11))], Sampling(8, ignore_eos=True))
    return [number for step in steps for row in step.token_ids for number in row]


@pytest.mark.parametrize("module", [torch_engine, transformers_engine])
def test_engines_answer_with_an_llm_that_is_spread_and_say_so(monkeypatch, source, module):
    config = EngineConfig(source, METHODS, observer=(events := []).append)
    expected = {method: ids_of(engine) for method, engine in module.create_engines(config).items()}
    monkeypatch.setattr(EngineConfig, "spreads", True)
    engines: Mapping[str, Engine] = module.create_engines(config)
    assert {method: ids_of(engine) for method, engine in engines.items()} == expected
    assert len({tuple(ids) for ids in expected.values()}) == 3
    placements = {method: engine.options.get("placement") for method, engine in engines.items()}
    assert placements == dict.fromkeys(METHODS, "llm over cpu, disk") | {"slm": None}
    if module is torch_engine:
        reason = "the LLM fits on no GPU alone and lies on cpu and disk."
        assert engines["llm"].options["fallback"] == reason
        assert engines["hybrid"].options["reader"] == "Llama of transformers"
        said = [event.sentence for event in events if isinstance(event, Notice)]
        assert (
            said[0]
            == f"The engine torch reads the hybrid's prompts through transformers' own Llama: {reason}"
        )


def test_one_precision_for_all_engines(monkeypatch, source):
    monkeypatch.setattr(EngineConfig, "spreads", True)
    held = source.bundle(("llm",), Placement("float32", spread=True))
    monkeypatch.setattr(source, "bundle", lambda *_: held)
    with pytest.raises(
        EngineError, match="lies on cpu and disk in float32, not in bfloat16; give one --dtype"
    ):
        transformers_engine.create_engines(EngineConfig(source, ("llm",), dtype="bfloat16"))


def test_an_llm_of_16_bits_stays_so_where_it_is_rounded_to_them_anyway(source, tmp_path):
    folder = tmp_path / "llama"
    load_model(resolve(str(folder)), "bfloat16").save_pretrained(folder)
    for models in (("llm", "hybrid"), ("hybrid",)):
        path = tmp_path / "zoo" / "far" / "pair.json"
        manifest = json.loads(path.read_text("utf-8"))
        manifest["llm"]["files"] = resolve(str(folder)).sha256
        path.write_text(json.dumps(manifest), "utf-8")
        again = ZooSource("far", tmp_path / "zoo")
        brief, whole = again.bundle(models, Placement("bfloat16")), again.bundle(models)
        assert {weight.dtype for weight in brief.hybrid.llm.parameters()} == {torch.bfloat16}
        assert {weight.dtype for weight in whole.hybrid.llm.parameters()} == {torch.float32}
        for method in models:
            pair = [torch_engine.TorchEngine(b, method, dtype=torch.bfloat16) for b in (brief, whole)]
            assert ids_of(pair[0]) == ids_of(pair[1])
    assert source.bundle(("slm",), Placement("bfloat16")).slm.dtype == torch.float32


def test_graphs_are_of_one_gpu(monkeypatch, source):
    monkeypatch.setattr(cuda_engine, "unavailable_reason", lambda _: None)
    monkeypatch.setattr(EngineConfig, "spreads", True)
    with pytest.raises(EngineError, match="fits on none alone; choose --engine torch"):
        cuda_engine.create_engines(EngineConfig(source, ("llm",), Device("cuda"), "bfloat16"))


def test_a_gpu_that_is_named_is_the_one(monkeypatch, source):
    monkeypatch.setattr("hybrid.models.sources.needs_several", lambda *_: True)
    spreads = {name: source.spreads(Device.parse(name), "bfloat16") for name in ("cpu", "cuda", "cuda:1")}
    assert spreads == {"cpu": False, "cuda": True, "cuda:1": False}


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_share_an_llm(monkeypatch, source):
    """In float32, the ids of the CPU."""
    monkeypatch.undo()
    expected = {m: ids_of(e) for m, e in torch_engine.create_engines(EngineConfig(source, METHODS)).items()}
    monkeypatch.setattr(EngineConfig, "spreads", True)
    monkeypatch.setattr(loading, "_place", lambda *a: "auto" if a[2] == "auto" else "cpu")
    monkeypatch.setattr(loading, "free_gpu_bytes", lambda: {0: 100_000, 1: GB})
    config = EngineConfig(source, METHODS, Device("cuda"), "float32")
    for module in (torch_engine, transformers_engine):
        engines = module.create_engines(config)
        assert {method: ids_of(engine) for method, engine in engines.items()} == expected
        assert engines["hybrid"].options["placement"] == "llm over cuda:0, cuda:1"
