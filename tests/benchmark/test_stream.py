"""A benchmark as a stream: fair turns, all that is asked for and only that, and resumable anywhere."""

import gc
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from hybrid.benchmark.schedule import WorkItem, measure_records, schedule, select_examples
from hybrid.schema import SYSTEMS, Device, Example, Record, Sampling, System
from tests.benchmark.conftest import as_loaded
from tests.loaded import loaded


def key(record: Record) -> tuple[str, int, System]:
    return record.example_id, record.repeat, record.system


def content(record: Record) -> tuple[object, ...]:
    """All of a record but its times."""
    generation = record.generation
    where = (record.batch, record.position)
    return (
        *key(record),
        *where,
        generation.text,
        generation.token_ids,
        generation.prompt_tokens,
        record.statistics,
    )


# the plan's order


def test_systems_take_turns_and_another_one_begins_each_time(bench):
    items = list(schedule(bench.plan(), bench.suite.examples))
    order = "".join(item.system[0] for item in items)
    assert order == "lsh" + "shl" + "hls" + "lsh" + "shl" + "hls" + "lsh"
    assert [item.position for item in items] == list(range(21))
    assert [item.batch for item in items] == [i // 3 for i in range(21)]


def test_each_system_is_as_often_first_as_the_others_also_over_repeats(bench):
    items = list(schedule(bench.plan(repeats=3), bench.suite.examples))
    firsts = Counter(item.system for item in items[::3])
    assert set(firsts.values()) == {7}
    assert {item.system for item in items[::3] if item.batch == 0} == set(SYSTEMS)
    assert [item.repeat for item in items] == [i // 21 for i in range(63)]


def test_batches_cover_the_examples_in_order(bench):
    items = list(schedule(bench.plan(batch_size=3, systems=(System("slm"),)), bench.suite.examples))
    assert [[e.id for e in item.examples] for item in items] == [
        ["e0", "e1", "e2"],
        ["e3", "e4", "e5"],
        ["e6"],
    ]
    assert items[1] == WorkItem("slm", 0, 1, 1, bench.suite.examples[3:6])


@pytest.mark.parametrize(
    ("blocks", "repeats", "size"), [(3, 1, 1), (3, 3, 1), (2, 3, 2), (5, 2, 3), (9, 1, 1), (100, 4, 7)]
)
def test_blocks_deal_the_same_items_and_each_repeat_of_one_to_another_block(bench, blocks, repeats, size):
    plan = bench.plan(blocks=blocks, repeats=repeats, batch_size=size)
    items = list(schedule(plan, bench.suite.examples))
    whole = list(schedule(replace(plan, blocks=1), bench.suite.examples))
    assert {(i.repeat, i.batch, i.system) for i in items} == {(i.repeat, i.batch, i.system) for i in whole}
    assert len(items) == len(whole)
    assert all(item.block == (item.batch + item.repeat) % blocks for item in items)
    assert [item.block for item in items] == sorted(item.block for item in items)
    assert [item.position for item in items] == list(range(len(items)))


def test_systems_take_turns_in_every_block(bench):
    items = [item for item in schedule(bench.plan(blocks=2), bench.suite.examples) if item.block == 1]
    assert "".join(item.system[0] for item in items) == "lsh" + "shl" + "hls"


def test_a_block_measures_its_own_items_after_its_own_warm_up(bench):
    plan = bench.plan(blocks=3, device=Device("cuda"))
    records = [r for records in bench.stream(plan, block=1) for r in records]
    examples = select_examples(plan, bench.suite)
    assert {r.example_id for r in records} == {examples[1].id, examples[4].id}
    assert {r.block for r in records} == {1}
    warmed = {texts for _, texts, sampling in bench.calls if sampling.max_new_tokens == 2}
    assert warmed == {(examples[1].source,), (examples[4].source,)}


def test_the_seed_shuffles_and_a_smaller_run_is_a_part_of_a_larger_one(bench):
    whole = select_examples(bench.plan(), bench.suite)
    assert whole != bench.suite.examples
    assert sorted(whole, key=lambda e: e.id) == list(bench.suite.examples)
    assert select_examples(bench.plan(), bench.suite) == whole
    assert select_examples(bench.plan(limit=3), bench.suite) == whole[:3]
    assert select_examples(bench.plan(limit=1000), bench.suite) == whole
    assert select_examples(bench.plan(seed=1), bench.suite) != whole
    # Pinned: a stored run is resumed by the same order, also by another version of Python.
    assert [e.id for e in whole] == ["e4", "e2", "e1", "e0", "e5", "e3", "e6"]


# records


def test_examples_are_measured_in_the_order_in_which_they_are_given(bench):
    """A resumed run has them as they were measured: drawn and shuffled once, and not again."""
    plan = bench.plan(batch_size=2, limit=5, seed=3)
    examples = select_examples(plan, bench.suite)
    records = [
        record for records in measure_records(plan, examples, as_loaded(bench.engines)) for record in records
    ]
    assert list(dict.fromkeys(record.example_id for record in records)) == [e.id for e in examples]
    assert {record.example_id: record.batch for record in records} == {
        e.id: i // 2 for i, e in enumerate(examples)
    }


def test_every_answer_is_recorded_with_where_it_stood(bench):
    plan = bench.plan(repeats=2, batch_size=2)
    batches = bench.measured(plan)
    assert [len(records) for records in batches] == [2] * 9 + [1] * 3 + [2] * 9 + [1] * 3
    examples = select_examples(plan, bench.suite)
    for records, item in zip(batches, schedule(plan, examples), strict=True):
        for record, example in zip(records, item.examples, strict=True):
            assert key(record) == (example.id, item.repeat, item.system)
            assert (record.batch, record.position) == (item.batch, item.position)
            assert record.generation.text == f"{item.system}: {' '.join(reversed(example.source.split()))}"
            assert record.generation.prompt_tokens == len(example.source.split())
            assert record.statistics == {}  # scored at the end, not between timed answers
            assert datetime.fromisoformat(record.started_at).utcoffset() == timedelta(0)


def test_only_the_plans_systems_answer(bench):
    batches = list(
        bench.stream(bench.plan(systems=(System("slm"),)), as_loaded({System("slm"): bench.engines["slm"]}))
    )
    assert {record.system for records in batches for record in records} == {"slm"}
    assert {system for system, *_ in bench.calls} == {"slm"}


@pytest.mark.parametrize("batch", [1, 3])
def test_fixed_length_gives_exactly_that_many_tokens(bench, batch, tiny_bundle):
    from hybrid.engines.torch.engine import TorchEngine

    plan = bench.plan(sampling=Sampling(9, ignore_eos=True, truncate=True), batch_size=batch)
    engines = {system: loaded(TorchEngine(tiny_bundle, system), tiny_bundle) for system in SYSTEMS}
    generations = [record.generation for records in bench.stream(plan, engines) for record in records]
    assert len(generations) == 21
    assert {len(generation.token_ids) for generation in generations} == {9}
    assert {generation.finish_reason for generation in generations} == {"length"}


def test_long_prompts_are_cut_and_the_tokens_tell(bench, tiny_bundle):
    from hybrid.engines.torch.engine import TorchEngine

    examples = (Example("long", "d", "house " * 500, ("Haus",)),)
    plan = bench.plan(systems=(System("slm"),))
    ready = {"slm": loaded(TorchEngine(tiny_bundle, "slm"), tiny_bundle)}
    (records,) = measure_records(plan, examples, ready)
    assert records[0].generation.prompt_tokens == tiny_bundle.max_prompt_tokens


# warm-up


@pytest.mark.parametrize("resumed", [False, True])
def test_engines_are_warm_before_the_first_record_and_that_is_dropped(bench, resumed):
    plan = bench.plan(batch_size=2)
    done = (
        frozenset(key(r) for records in bench.measured(plan)[:5] for r in records) if resumed else frozenset()
    )
    bench.calls.clear()
    stream = bench.stream(plan, done=done)
    first = next(stream)
    *warm, last = bench.calls
    sources = {example.id: example.source for example in bench.suite.examples}
    assert last[:2] == (first[0].system, tuple(sources[record.example_id] for record in first))
    assert Counter(system for system, *_ in warm) == dict.fromkeys(SYSTEMS, 2)
    longest = sorted((e.source for e in bench.suite.examples), key=len)[-2:]
    opening = [e.source for e in select_examples(plan, bench.suite)[:2]]
    for system in SYSTEMS:
        assert [list(texts) for who, texts, _ in warm if who == system] == [longest, opening]
    assert {sampling for *_, sampling in warm} == {Sampling(6, ignore_eos=True, truncate=True)}
    assert len(list(stream)) + 1 == 12 - 5 * resumed


@pytest.mark.parametrize(("batch", "tokens"), [(1, 2), (3, 6)])
def test_on_a_gpu_every_batch_is_answered_once_before_the_clock_runs(bench, batch, tokens):
    plan = bench.plan(batch_size=batch, device=Device("cuda"))
    next(bench.stream(plan))
    *warm, _ = bench.calls
    texts = [example.source for example in select_examples(plan, bench.suite)]
    batches = {tuple(texts[start : start + batch]) for start in range(0, 7, batch)}
    for system in SYSTEMS:
        requests = [(texts, sampling) for who, texts, sampling in warm if who == system][2:]
        assert {texts for texts, _ in requests} == batches
        assert len(requests) == len(batches)
        assert {sampling for _, sampling in requests} == {Sampling(tokens, truncate=True)}


def test_nothing_is_asked_of_engines_when_nothing_is_missing(bench):
    done = frozenset(key(r) for records in bench.measured(bench.plan()) for r in records)
    bench.calls.clear()
    assert list(bench.stream(bench.plan(), done=done)) == []
    assert bench.calls == []


# going on


@pytest.mark.parametrize("fields", [{}, {"batch_size": 3, "repeats": 2}])
def test_a_run_resumed_after_any_turn_is_the_same_as_an_undisturbed_one(bench, fields, monkeypatch):
    monkeypatch.setattr(gc, "collect", lambda: 0)  # 0.2 s each
    plan = bench.plan(**fields)
    whole = bench.measured(plan)
    for count in range(len(whole) + 1):
        stored = [record for records in whole[:count] for record in records]
        rest = [r for records in bench.measured(plan, frozenset(map(key, stored))) for r in records]
        assert [content(r) for r in stored + rest] == [content(r) for records in whole for r in records]


def test_a_turn_that_lost_a_part_of_its_records_yields_that_part(bench):
    plan = bench.plan(batch_size=3)
    whole = [record for records in bench.measured(plan) for record in records]
    lost = whole[4]
    done = frozenset(key(record) for record in whole if record is not lost)
    ((again,),) = bench.measured(plan, done)
    assert content(again) == content(lost)  # answered in the same batch, so with the same outputs


def test_real_outputs_are_the_same_after_resuming(bench, tiny_bundle):
    from hybrid.engines.torch.engine import TorchEngine

    engines = {system: loaded(TorchEngine(tiny_bundle, system), tiny_bundle) for system in SYSTEMS}
    plan = bench.plan(batch_size=3)
    whole = [record for records in bench.stream(plan, engines) for record in records]
    done = frozenset(map(key, whole[:8]))
    rest = [record for records in bench.stream(plan, engines, done=done) for record in records]
    assert [content(r) for r in rest] == [content(r) for r in whole[8:]]
