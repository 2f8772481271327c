"""What differs between runs on one figure, and which of them can be compared."""

from collections.abc import Callable
from dataclasses import replace

from hybrid.presentation.views.tradeoffs.between import between_of
from hybrid.schema import Run
from hybrid.store import StoredRun


def run(fake_run: Callable[..., StoredRun], run_id: str, **plan: object) -> Run:
    return fake_run(run_id=run_id, **plan).run


def elsewhere(one: Run, **environment: object) -> Run:
    return replace(one, environment=replace(one.environment, **environment))


def test_runs_made_alike_differ_in_nothing(fake_run: Callable[..., StoredRun]):
    found = between_of([run(fake_run, "a"), run(fake_run, "b", engine="onnx")])
    assert (found.kinds, found.flag) == ((), "")
    assert found.groups["a"] == found.groups["b"]
    assert len(found.sentences) == 1  # the engine: to be known, though the figure shows it


def test_another_machine_is_flagged_and_stands_apart(fake_run: Callable[..., StoredRun]):
    other = elsewhere(run(fake_run, "b"), device_name="<b>H200</b>", cpu="Another CPU")
    found = between_of([run(fake_run, "a"), other])
    assert found.kinds == ("machine",)
    assert found.flag == "These runs differ in machine: do not compare across them"
    assert found.groups["a"] != found.groups["b"]
    assert "H200" not in found.flag
    assert "H200" in found.sentences[0]


def test_other_software_is_flagged_and_stays_comparable(fake_run: Callable[..., StoredRun]):
    other = elsewhere(run(fake_run, "b"), python="3.12.0", packages={"torch": "2.14"})
    found = between_of([run(fake_run, "a"), other])
    assert found.flag == "These runs differ in software"
    assert found.groups["a"] == found.groups["b"]


def test_other_texts_threads_and_batches_stand_apart(fake_run: Callable[..., StoredRun]):
    runs = [
        run(fake_run, "a"),
        run(fake_run, "b", examples=4),
        run(fake_run, "c", threads=2),
        run(fake_run, "d", batch_size=8),
        run(fake_run, "e", limit=2),
    ]
    found = between_of(runs)
    assert set(found.kinds) == {"texts", "threads", "batch size"}
    assert len(set(found.groups.values())) == 5


def test_one_run_has_nothing_to_differ_from(fake_run: Callable[..., StoredRun]):
    assert between_of([run(fake_run, "a")]).kinds == ()
