"""A tiny recipe from corpus to bundle: losses fall, a killed run goes on to the very same losses."""

import json
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hybrid.errors import RecipeError
from hybrid.training.export import _events
from hybrid.training.models import build_model
from hybrid.training.recipe import Recipe, load_recipe
from hybrid.training.stage_run import LOSSES, TrainEvent
from hybrid.training.step import Update
from hybrid.training.train import train

Tiny = Callable[[Path], Recipe]


@pytest.fixture
def file_size_limit() -> Iterator[Callable[[int], None]]:
    """Sets how many bytes a file may have: beyond it every write fails, as on a full disk."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


def losses(events: list[TrainEvent]) -> dict[tuple[str, str, int], list[float]]:
    """Every logged loss by (kind, stage, step)."""
    return {
        (e.kind, e.stage, e.step): [float(e.values[name]) for name in LOSSES]
        for e in events
        if e.kind in ("progress", "dev")
    }


def test_the_stages_run_in_order_and_end_in_a_bundle(finished) -> None:
    recipe, events = finished
    seen = [(e.stage, e.kind) for e in events if e.kind in ("start", "done", "bundle")]
    whole = [(s, kind) for s in ("first", "second", "third") for kind in ("start", "done")]
    assert seen == [*whole, ("third", "bundle")]
    for stage in recipe.stages:
        mine = [e for e in events if e.stage == stage.name and e.kind != "bundle"]
        every = {"progress": 5, "dev": 10, "checkpoint": 10}
        for kind, period in every.items():
            steps = [e.step for e in mine if e.kind == kind]
            assert steps == list(range(period, stage.steps + 1, period))
        assert mine[0].values["resumed_from"] == 0
        assert mine[-1].step == mine[-1].steps == stage.steps
        assert mine[-1].values["device_hours"] > 0


def test_losses_fall(finished) -> None:
    _, events = finished
    for stage in ("first", "second"):
        dev = [e.values["cross_entropy"] for e in events if e.kind == "dev" and e.stage == stage]
        assert dev == sorted(dev, reverse=True)
    first = next(e for e in events if e.kind == "progress")
    assert dev[-1] < first.values["cross_entropy"]
    third = [e.values for e in events if e.stage == "third" and e.kind == "dev"]
    assert third[-1]["objective"] < third[0]["objective"]
    for values in third:
        mixed = 0.5 * values["smoothed_cross_entropy"] + 0.5 * values["kl"]
        assert values["objective"] == pytest.approx(mixed, rel=1e-5)
    assert all(e.values["kl"] == 0 for e in events if e.kind == "dev" and e.stage != "third")


def test_every_event_is_logged(finished) -> None:
    recipe, events = finished
    for stage in recipe.stages:
        lines = (recipe.out / stage.name / "log.jsonl").read_text("utf-8").splitlines()
        logged = [json.loads(line) for line in lines]
        assert all(entry.pop("time") > 1e9 for entry in logged)
        mine = [e for e in events if e.stage == stage.name and e.kind != "bundle"]
        assert [TrainEvent(**entry) for entry in logged] == mine


def test_nothing_is_pickled(finished) -> None:
    recipe, _ = finished
    suffixes = {path.suffix for path in recipe.out.rglob("*") if path.is_file()}
    assert suffixes == {".safetensors", ".json", ".jsonl", ".npz", ".lock", ".md"}


def test_the_llm_of_a_hybrid_is_not_changed(finished) -> None:
    recipe, _ = finished
    names = load_file(recipe.out / "third" / "checkpoint" / "model.safetensors").keys()
    assert {name.split(".")[0] for name in names} == {"projector", "slm"}


def test_a_hybrid_starts_from_the_finished_slm_and_reads_with_the_finished_llm(finished) -> None:
    recipe, _ = finished
    pair, teacher = build_model(recipe, recipe.stage("third"))
    for model, stage in ((pair.slm, "second"), (teacher, "first")):
        stored = load_file(recipe.out / stage / "checkpoint" / "model.safetensors")
        assert stored
        assert all(torch.equal(model.get_parameter(name), tensor) for name, tensor in stored.items())
    assert torch.equal(pair.llm.shared.weight, teacher.shared.weight)


def test_killed_at_every_checkpoint_the_losses_are_the_same(
    finished, tiny_recipe: Tiny, tmp_path: Path
) -> None:
    reference, whole = finished
    recipe = tiny_recipe(tmp_path)
    events: list[TrainEvent] = []
    runs = 0
    while not events or events[-1].kind != "bundle":
        runs += 1
        run = train(recipe)
        for event in run:
            events.append(event)
            if event.kind == "checkpoint":
                run.close()
    assert runs == 3 + 3 + 2 + 1  # one for each checkpoint, and one that finds the rest done
    assert losses(events) == losses(whole)
    for stage in recipe.stages:
        weights, expected = (
            load_file(r.out / stage.name / "checkpoint" / "model.safetensors") for r in (recipe, reference)
        )
        assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_stop_after_writes_a_checkpoint_that_training_goes_on_from(
    finished, tiny_recipe: Tiny, tmp_path: Path
) -> None:
    recipe = tiny_recipe(tmp_path)
    events = list(train(recipe, ["first"], stop_after=1e-9))
    assert [e.kind for e in events] == ["start", "progress", "checkpoint", "stopped"]
    assert not (recipe.out / "first" / "done.json").exists()
    (recipe.out / "first" / "checkpoint").rename(recipe.out / "first" / ".checkpoint.old")  # killed in a save
    more = list(train(recipe, ["first"]))
    assert more[0].values["resumed_from"] == 5
    expected = {key: value for key, value in losses(finished[1]).items() if key[1] == "first"}
    assert losses(events + more) == expected
    assert list(train(recipe, ["first"])) == []  # finished: skipped


def test_a_slow_update_is_told_at_once(
    tiny_recipe: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybrid.training.stage_run.SILENCE_S", 0.0)
    events = list(train(tiny_recipe(tmp_path), ["first"], stop_after=1e-9))
    assert [(event.kind, event.step) for event in events[:2]] == [("start", 0), ("progress", 1)]


def test_work_after_the_last_checkpoint_is_repeated(finished, tiny_recipe: Tiny, tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path)
    run = train(recipe, ["first"])
    lost = [next(e for e in run if e.kind == "progress" and e.step == 15)]
    run.close()
    again = list(train(recipe, ["first"]))
    assert again[0].values["resumed_from"] == 10
    key = ("progress", "first", 15)
    assert losses(again)[key] == losses(lost)[key] == losses(finished[1])[key]


def test_every_update_has_its_own_dropout(
    tiny_recipe: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []
    call = Update.__call__

    def watched(self: Update, batch, seed: int, step: int, lr_factor: float) -> torch.Tensor:
        seeds.append(seed)
        return call(self, batch, seed, step, lr_factor)

    monkeypatch.setattr(Update, "__call__", watched)
    list(train(tiny_recipe(tmp_path), ["first"]))
    assert len(set(seeds)) == len(seeds) == 30


def test_a_stage_whose_predecessor_is_untrained_is_refused(tiny_recipe: Tiny, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"Stage 'first' has no weights in .*; train it first"):
        list(train(tiny_recipe(tmp_path), ["third"]))


def assert_goes_on_from_step_10(recipe: Recipe, whole: list[TrainEvent]) -> None:
    run = train(recipe, ["first"])
    assert next(run).values["resumed_from"] == 10
    assert losses([next(run)]).items() <= losses(whole).items()
    run.close()


@pytest.mark.parametrize("spoiled_step", [12, 19])  # seen in the losses of step 15, and in the weights of 20
def test_losses_that_are_no_numbers_stop_and_keep_the_last_checkpoint(
    finished, tiny_recipe: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoiled_step: int
) -> None:
    recipe, call = tiny_recipe(tmp_path), Update.__call__

    def spoiled(self: Update, batch, seed: int, step: int, lr_factor: float) -> torch.Tensor:
        losses = call(self, batch, seed, step, lr_factor)
        if step == spoiled_step:
            self.params[0].data[0] = torch.inf
        return losses

    with monkeypatch.context() as patch:
        patch.setattr(Update, "__call__", spoiled)
        with pytest.raises(RecipeError, match="the last checkpoint is that of step 10") as caught:
            list(train(recipe, ["first"]))
    for part in ("Stage 'first'", "matrix_lr (0.02)", "vector_lr (0.01)", str(recipe.out / "first")):
        assert part in str(caught.value)
    assert_goes_on_from_step_10(recipe, finished[1])


def test_a_full_disk_stops_and_keeps_the_last_checkpoint(
    finished, tiny_recipe: Tiny, tmp_path: Path, file_size_limit: Callable[[int], None]
) -> None:
    recipe = tiny_recipe(tmp_path)
    run = train(recipe, ["first"])
    assert next(e for e in run if e.kind == "checkpoint").step == 10
    file_size_limit(30_000)
    with pytest.raises(RecipeError, match=r"out cannot be read or written: .*File too large") as caught:
        list(run)
    assert str(caught.value).isprintable()
    assert "the last checkpoint, of stage 'first', is whole" in str(caught.value)
    file_size_limit(resource.RLIM_INFINITY)
    names = {path.name for path in (recipe.out / "first").iterdir()}
    assert names == {"checkpoint", "log.jsonl", "settings.json"}
    assert_goes_on_from_step_10(recipe, finished[1])


def test_a_full_disk_is_a_sentence_while_data_are_prepared(
    tiny_recipe: Tiny, tmp_path: Path, file_size_limit: Callable[[int], None]
) -> None:
    recipe = tiny_recipe(tmp_path)
    file_size_limit(2_000)
    with pytest.raises(
        RecipeError, match=r"cannot be read or written.*; no checkpoint was written before that"
    ):
        list(train(recipe))
    file_size_limit(resource.RLIM_INFINITY)
    assert next(train(recipe)).kind == "start"


def test_an_output_that_is_no_folder_is_a_sentence(tiny_recipe: Tiny, tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path)
    recipe.out.write_text("a file", "utf-8")
    with pytest.raises(RecipeError, match="out cannot be read or written: File exists"):
        list(train(recipe))


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ("d_model = 1_000_000_000", ("'first'", "d_model", "GB of memory", "free on cpu")),
        ("layers = 1_000_000_000", ("'first'", "layers", "GB of memory", "free on cpu")),
    ],
)
def test_a_model_that_no_machine_holds_is_refused_with_what_it_takes(
    recipe_file: Callable[[Path], Path], tmp_path: Path, shape: str, says: tuple[str, ...]
) -> None:
    path = recipe_file(tmp_path)
    text, key = path.read_text("utf-8"), shape.partition(" ")[0]
    path.write_text(text.replace(f"{key} = {'32' if key == 'd_model' else '2'}", shape, 1), "utf-8")
    with pytest.raises(RecipeError) as caught:
        list(train(load_recipe(path)))
    for part in says:
        assert part in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_log_whose_last_line_was_torn_is_read(finished, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes((finished[0].out / "first" / "log.jsonl").read_bytes() + b'{"kind": "prog\n')
    assert [event["kind"] for event in _events(log)][-1] == "done"
