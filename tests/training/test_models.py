"""A finished recipe becomes a bundle that loads, answers and says how it was made; an LLM writes targets."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from hybrid.engines.torch.engine import TorchEngine
from hybrid.errors import RecipeError
from hybrid.models.bundle import Bundle, load_bundle
from hybrid.models.manifest import file_sha256
from hybrid.schema import SYSTEMS, Sampling
from hybrid.training import distillation
from hybrid.training.distillation import distilled, greedy_answers
from hybrid.training.export import _history, stage_bundle
from hybrid.training.models import trained, untrained
from hybrid.training.parts import Shape
from hybrid.training.recipe import Recipe, Stage, prepared
from hybrid.training.train import train
from tests.loaded import ask

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def exported(finished) -> Bundle:
    recipe, events = finished
    folder = Path(events[-1].values["folder"])
    assert folder == recipe.out / "bundle" / "tiny"
    return load_bundle("tiny", folder.parent)


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_bundle_answers(exported: Bundle, system) -> None:
    engine = TorchEngine(exported, system)
    (generation,) = ask(engine, exported, "translate-en-de", ["one old house"], Sampling(8))
    assert 1 <= len(generation.token_ids) <= 8
    assert generation.prompt_tokens == 5  # prefix, three words, </s>


@pytest.mark.parametrize(("system", "stage"), [("llm", "first"), ("slm", "second"), ("hybrid", "third")])
def test_the_bundle_holds_the_trained_weights(finished, exported: Bundle, system, stage: str) -> None:
    recipe, _ = finished
    model, trained_model = exported.model(system), trained(recipe, stage)
    assert not trained_model.training
    ids = torch.tensor([[5, 6, 7, 1], [9, 1, 0, 0]])
    inputs = {"input_ids": ids, "attention_mask": ids.ne(0).long(), "labels": torch.tensor([[4, 1], [8, 1]])}
    with torch.no_grad():
        bundle_logits, expected = model(**inputs).logits, trained_model(**inputs).logits
    assert (bundle_logits - expected).norm() < 0.05 * expected.norm()  # int8 rows


def test_the_manifest_says_how_it_was_made(finished, exported: Bundle) -> None:
    recipe, events = finished
    manifest = exported.manifest
    assert list(manifest["tasks"]) == ["translate-en-de", "summarize"]
    assert manifest["max_prompt_tokens"] == 48
    about = manifest["about"]
    assert (about["recipe"], about["seed"]) == ("tiny", 7)
    third = about["stages"]["hybrid"]
    assert (third["stage"], third["steps"], third["tokens_per_step"]) == ("third", 20, 512)
    last = [e for e in events if e.kind == "dev" and e.stage == "third"][-1]
    assert third["dev_losses_nats_per_token"] == last.values
    assert third["median_padded_tokens_per_s"] > 0
    arrays = np.load(prepared(recipe))
    data = about["training_data"]
    assert data["examples"] == 210
    assert data["source_tokens"] == len(arrays["source"])
    assert data["target_tokens"] == len(arrays["target"])
    assert data["sha256"] == file_sha256(prepared(recipe))


def test_device_hours_count_every_session(tiny_recipe: Callable[[Path], Recipe], tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path)
    killed = train(recipe, ["first"])
    spent = [next(e for e in killed if e.kind == "checkpoint").values["device_hours"]]
    killed.close()
    spent += [list(train(recipe, ["first"], limit))[-1].values["device_hours"] for limit in (1e-9, None)]
    assert min(spent) > 0
    assert _history(recipe, "first")["device_hours"] == pytest.approx(sum(spent))


def taught(recipe: Recipe) -> Stage:
    return dataclasses.replace(recipe.stage("second"), name="student", steps=5, answers_of="first")


def _rows(path: Path, side: str) -> list[list[int]]:
    with np.load(path) as arrays:
        ends = np.cumsum(arrays[f"{side}_lengths"], dtype=np.int64)
        return [row.tolist() for row in np.split(arrays[side], ends[:-1])]


def test_the_answers_are_the_llms_own_greedy_ones(finished) -> None:
    recipe, _ = finished
    path = distilled(recipe, taught(recipe), CPU)
    sources, answers = _rows(path, "source"), _rows(path, "target")
    assert sources == _rows(prepared(recipe), "source")
    references = _rows(prepared(recipe), "target")
    assert answers != references
    llm = trained(recipe, "first")
    for source, answer, reference in list(zip(sources, answers, references, strict=True))[:12]:
        generated = llm.generate(torch.tensor([source]), max_new_tokens=32, do_sample=False, num_beams=1)
        ids = generated[0, 1:].tolist()
        assert answer == (ids[: ids.index(1) + 1] if 1 in ids else reference)


def test_references_follow_the_answers(finished) -> None:
    recipe: Recipe = finished[0]
    answers = distilled(recipe, dataclasses.replace(taught(recipe), answers=20), CPU)
    path = distilled(recipe, dataclasses.replace(taught(recipe), answers=20, references=True), CPU)
    assert path.name == "answers-20-and-references.npz"
    for side in ("source", "target"):
        assert _rows(path, side) == _rows(answers, side) + _rows(prepared(recipe), side)


def test_an_answer_without_an_end_leaves_the_reference(finished) -> None:
    recipe: Recipe = finished[0]
    bundle = stage_bundle(recipe, ["first"])
    sources = [[*row] for row in _rows(prepared(recipe), "source")[:4]]
    whole = greedy_answers(bundle, sources, [[5] * 24] * 4, 32, CPU)
    short = greedy_answers(bundle, sources, [[5]] * 4, 2, CPU)
    assert [answer if len(answer) <= 2 else [] for answer in whole] == short


def test_a_long_reference_among_hundreds_gives_no_batch_more_time(finished, monkeypatch) -> None:
    allowed: list[int] = []

    def write(_: torch.Tensor, lengths: Sequence[int], longest: int) -> list[list[int]]:
        allowed.append(longest)
        return [[] for _ in lengths]

    monkeypatch.setattr(distillation, "_writer", lambda *_: write)
    references = [[5] * 10] * 199 + [[5] * 60]
    greedy_answers(stage_bundle(finished[0], ["first"]), [[7, 7]] * 200, references, 64, CPU)
    assert allowed == [10 * 3 // 2 + distillation.SPARE_TOKENS]


def test_little_free_memory_means_fewer_prompts_at_once_and_the_same_answers(finished, monkeypatch) -> None:
    recipe: Recipe = finished[0]
    sources, references = (_rows(prepared(recipe), side) for side in ("source", "target"))
    bundle, batches = stage_bundle(recipe, ["first"]), []
    ample = greedy_answers(bundle, sources[:40], references[:40], 32, CPU)
    writer = distillation._writer

    def watched(bundle: Bundle, device: torch.device) -> Callable[..., list[list[int]]]:
        write = writer(bundle, device)

        def counted(ids: torch.Tensor, lengths: Sequence[int], longest: int) -> list[list[int]]:
            batches.append(len(lengths))
            return write(ids, lengths, longest)

        return counted

    config = bundle.model("llm").config
    of_a_position = 2 * config.num_heads * config.d_kv * config.num_decoder_layers * 4  # keys, values, bytes
    longest = max(map(len, sources[:40])) + distillation.CAPACITY
    free = 8 * of_a_position * longest / distillation.SHARE_OF_FREE_MEMORY
    monkeypatch.setattr(distillation, "_writer", watched)
    monkeypatch.setattr(distillation, "free_bytes", lambda _: int(free))
    assert greedy_answers(bundle, sources[:40], references[:40], 32, CPU) == ample
    assert 8 <= max(batches) <= 9


def test_the_answers_are_written_once(finished) -> None:
    recipe, _ = finished
    written = distilled(recipe, taught(recipe), CPU).stat().st_mtime_ns
    assert distilled(recipe, taught(recipe), CPU).stat().st_mtime_ns == written


def test_a_stage_trains_on_them(finished) -> None:
    recipe: Recipe = finished[0]
    stage = taught(recipe)
    longer = dataclasses.replace(recipe, stages=(*recipe.stages, stage))
    kinds = [event.kind for event in train(longer, ["student"])]
    assert kinds[0] == "start"
    assert "done" in kinds


def test_a_sample_is_answered(finished, tmp_path: Path) -> None:
    recipe: Recipe = finished[0]
    path = distilled(recipe, dataclasses.replace(taught(recipe), answers=20), CPU)
    sources, every = _rows(path, "source"), _rows(prepared(recipe), "source")
    assert path.name == "answers-20.npz"
    assert len(sources) == 20
    assert all(source in every for source in sources)


def test_a_model_of_more_layers_than_there_are_is_a_sentence() -> None:
    with pytest.raises(RecipeError, match=r"Expected int <= 1000, got 1001 - at \$\.num_layers"):
        untrained(Shape(d_model=8, d_ff=8, heads=1, layers=1001, d_kv=8), 300)
