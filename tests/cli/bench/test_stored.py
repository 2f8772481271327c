"""`hybrid bench --resume`: what it takes from the store, and where it may go on."""

import json
import shutil
import signal
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid import store
from hybrid.benchmark import run as use_case
from hybrid.benchmark.schedule import schedule
from hybrid.cli.bench import Stopped
from hybrid.errors import StoreError
from hybrid.metrics import METRICS, benchmark_metrics
from hybrid.metrics.sacre import Bleu
from hybrid.schema import TASKS, Device, Notice, Record, Resumption, silent
from hybrid.store import Writer, load_run
from hybrid.store.record_lines import decode_sound


@pytest.fixture
def interrupted(bench, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a run with 2 of 6 records."""
    with monkeypatch.context() as patched:
        bench.stop_after(2, patched, Stopped(signal.SIGINT))
        return bench.stored(bench.measure("--limit", "2"), exit_code=130).run.run_id


# from the store


@pytest.mark.parametrize("after", [1, 4, 7])
def test_texts_come_from_the_store_in_the_order_of_measuring(bench, after, monkeypatch):
    """Neither the suite's file nor its columns are asked for again, and nothing is shuffled again."""
    (bench.folder / "other.tsv").write_text("".join(["kind\ten\tde\n", *bench.lines]), "utf-8")
    arguments = ["file:other.tsv", "--task", "translate-en-de", "--columns", "source=en,reference=de"]
    arguments += ["--limit", "5", "--seed", "3", "--batch-size", "2", "--repeats", "2", "--blocks", "1"]
    with monkeypatch.context() as patched:
        bench.stop_after(after, patched, Stopped(signal.SIGINT))
        part = bench.stored(bench.run(*arguments, "--max-new-tokens", "4"), exit_code=130)
    (bench.folder / "other.tsv").unlink()
    stored = bench.stored(bench.run("--resume", part.run.run_id))
    assert stored.examples == part.examples
    assert stored.records[: len(part.records)] == part.records
    order = [
        (example.id, item.repeat, item.system, item.batch, item.position)
        for item in schedule(stored.run.plan, part.examples)
        for example in item.examples
    ]
    assert order == [(r.example_id, r.repeat, r.system, r.batch, r.position) for r in stored.records]
    assert stored.run.resumptions == ()


def test_each_stored_record_is_read_once(bench, interrupted, monkeypatch):
    read: list[bytes] = []
    decode = lambda lines, *of_run: read.extend(lines) or decode_sound(lines, *of_run)  # noqa: E731
    monkeypatch.setattr("hybrid.store.reading.decode_sound", decode)
    monkeypatch.setattr(use_case, "score_run", lambda *_, **__: ())
    assert bench.run("--resume", interrupted).exit_code == 0
    assert len(read) == 2


def test_damaged_examples_are_named_and_not_the_suite(bench, interrupted):
    path = bench.folder / "results" / interrupted / "examples.jsonl"
    path.write_bytes(path.read_bytes()[40:])
    message = bench.failed(bench.run("--resume", interrupted))
    assert message.startswith(f"error: Run {interrupted} cannot be resumed: {path}, line 1, is damaged")
    assert "suite.tsv" not in message


def test_a_damaged_record_is_said_and_measured_again(bench, interrupted):
    path = bench.folder / "results" / interrupted / "records.jsonl"
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first[40:] + second)
    result = bench.run("--resume", interrupted)
    assert result.exit_code == 0
    assert f"notice: {path}, line 1, is damaged and left out: " in result.stderr
    assert len(load_run(interrupted).records) == 6


# where it may go on


def test_weights_that_have_changed_are_refused(bench, interrupted, tiny_zoo, monkeypatch):
    manifest = json.loads((tiny_zoo / "tiny" / "pair.json").read_text("utf-8"))
    (bench.folder / "zoo" / "tiny").mkdir(parents=True)
    (bench.folder / "zoo" / "tiny" / "pair.json").write_text(json.dumps(manifest), "utf-8")
    monkeypatch.setenv("HYBRID_ZOO", str(bench.folder / "zoo"))
    message = bench.failed(bench.run("--resume", interrupted))
    assert f"The pair tiny has other weights now than when run {interrupted} was started." in message


def test_another_environment_is_said_and_the_run_goes_on(bench, interrupted, monkeypatch):
    monkeypatch.setattr("hybrid.measuring.environment.platform.python_version", lambda: "3.99.0")
    result = bench.run("--resume", interrupted)
    now = ".".join(map(str, sys.version_info[:3]))
    sentence = f"notice: The run was started in another environment: python {now}, now 3.99.0.\n"
    assert sentence in result.stderr
    stored = bench.stored(result)
    assert len(stored.records) == 6
    assert stored.run.environment.python == now
    (resumption,) = stored.run.resumptions
    assert resumption.records_before == 2
    assert resumption.environment == replace(stored.run.environment, python="3.99.0")


def test_all_answers_of_a_resumed_run_are_scored_alike(bench, interrupted, monkeypatch):
    before, metrics = load_run(interrupted), {*benchmark_metrics(TASKS["translate-en-de"])}
    assert all(record.statistics.keys() == metrics for record in before.records)

    class Changed(Bleu):
        def signature(self, reference_counts: Iterable[int], language: str = "") -> str:
            return "version:9.9"

    monkeypatch.setitem(METRICS, "bleu", Changed())
    after = bench.stored(bench.run("--resume", interrupted))
    assert len(after.records) == 6
    assert all(record.statistics.keys() == metrics for record in after.records)
    assert after.run.signatures == {**before.run.signatures, "bleu": "version:9.9"}


def test_what_keeps_scores_from_the_disk_is_said_and_the_run_goes_on(bench, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("hybrid.store.scores.open_atomic", full)
        result = bench.measure("--limit", "2")
    assert (result.exit_code, "No space left" in result.stderr) == (1, True)
    run = load_run("latest")
    assert run.run.finished_at is None
    assert [len(run.records), sum(bool(record.statistics) for record in run.records)] == [6, 0]
    after = bench.stored(bench.run("--resume", run.run.run_id))
    assert after.run.finished_at is not None
    assert all(record.statistics for record in after.records)


def test_another_gpu_is_refused(fake_run, tmp_path: Path):
    fake = fake_run(device=Device("cuda", 0))
    sentence = r"was measured on cpu, and cuda:0 is H200 here\. Resume it on a cpu, or start a new run"
    with store.create(fake.run, fake.examples, tmp_path) as writer:
        writer.append(fake.records[:1])
        with pytest.raises(StoreError, match=sentence):
            use_case._note_environment(writer, replace(fake.run.environment, device_name="H200"), silent)
        assert writer.run == fake.run


def test_another_cpu_is_not(fake_run, tmp_path: Path):
    fake, events = fake_run(), []
    here = replace(fake.run.environment, cpu="Other", device_name="Other")
    with store.create(fake.run, fake.examples, tmp_path) as writer:
        writer.append(fake.records[:1])
        use_case._note_environment(writer, here, events.append)
        assert writer.run.resumptions == (Resumption(records_before=1, environment=here),)
    assert [type(event) for event in events] == [Notice]
    assert "cpu A CPU, now Other" in events[0].sentence


def test_a_run_whose_folder_vanishes_is_not_reported_as_stored(
    bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Writer.append

    def losing(writer: Writer, records: Sequence[Record]) -> None:
        append(writer, records)
        if len(writer.done) == 3:
            shutil.rmtree(bench.folder / "results" / writer.run.run_id)

    monkeypatch.setattr(Writer, "append", losing)
    sentence = bench.failed(bench.measure("--limit", "2")).splitlines()[-1]
    assert sentence.startswith("error: Run ")
    assert sentence.endswith("records.jsonl was removed, moved or replaced while it was written. Start anew.")
    assert list((bench.folder / "results").iterdir()) == []
