"""What is written as JSON comes back as it was, and what is not JSON of ours is refused in words."""

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from hybrid.schema import (
    Example,
    Memory,
    Probe,
    Record,
    Resumption,
    Run,
    Sampling,
    System,
    Task,
    Timing,
    task_named,
)
from hybrid.store import StoredRun
from hybrid.store.checks import check_seal, seal
from hybrid.store.codec import (
    decode_cell,
    decode_example,
    decode_grid,
    decode_run,
    encode_cell,
    encode_example,
    encode_grid,
    encode_run,
)
from hybrid.store.folders import ROOT
from hybrid.store.record_lines import decode_line, encode_record, record_of, rows_to_drop

RESULTS = ROOT / "results"
FakeRun = Callable[..., StoredRun]
HOSTILE = "Grüße\n\r\n\t\0 \u2028 \x85 \ud800 \U0001f600 \"quoted\" '=1+1' \\ ."


@pytest.fixture
def run(fake_run: FakeRun) -> Run:
    memory = {"llm": Memory(resident=5, before_model=3)}
    return replace(fake_run().run, finished_at="2026-11-23T02:00:00+00:00", memory=memory)


@pytest.fixture
def record(fake_run: FakeRun) -> Record:
    return fake_run().records[1]


def changed(data: bytes, **fields: Any) -> bytes:
    row = json.loads(data) | fields
    return json.dumps({key: value for key, value in row.items() if value is not ...}).encode()


def decode_record(line: bytes) -> Record:
    return record_of(decode_line(line))


def with_text(record: Record, text: str) -> Record:
    return replace(record, generation=replace(record.generation, text=text))


def test_a_run_comes_back_equal(run: Run) -> None:
    here = replace(run.environment, packages=MappingProxyType({"torch": "2.13.0"}))
    assert decode_run(encode_run(replace(run, environment=here)))[0] == run
    moved = replace(
        run, max_prompt_tokens=512, resumptions=(Resumption(records_before=4, environment=run.environment),)
    )
    assert decode_run(encode_run(moved))[0] == moved


BRIEF = Task("brief", "Brief in Chinese", "In Chinese: ", "en", "zh", lines=True)


def test_a_run_keeps_its_pairs_own_task(run: Run) -> None:
    own = replace(run, plan=replace(run.plan, task="brief"), own_task=BRIEF)
    decoded, _ = decode_run(encode_run(own))
    assert decoded.task == BRIEF
    assert replace(decoded, own_task=None).task == task_named("brief")  # a run of before it was stored


@pytest.mark.parametrize(
    "change",
    [{"name": "other"}, {"label": "x\u202e"}, {"label": "x" * 101}, {"prefix": "\x1b[2J"}, {"kind": "poem"}],
)
def test_a_task_that_no_pair_can_have_is_damage(run: Run, change: dict[str, str]) -> None:
    row = json.loads(encode_run(replace(run, plan=replace(run.plan, task="brief"), own_task=BRIEF)))
    row["own_task"] |= change
    with pytest.raises(ValueError, match=r"own_task|characters|poem"):
        decode_run(json.dumps(row).encode())


def test_a_run_keeps_what_is_written_beside_its_fields(run: Run) -> None:
    _, header = decode_run(encode_run(run, records=9, records_bytes=1234))
    assert (header.schema, header.records, header.records_bytes, header.sealed) == (1, 9, 1234, False)
    assert decode_run(encode_run(run, checksum="crc32"))[1].sealed


def test_fields_of_a_later_version_are_let_pass(run: Run, record: Record) -> None:
    row = json.loads(encode_run(run))
    row["plan"]["colour"] = "blue"
    assert decode_run(json.dumps(row | {"mood": 1}).encode())[0] == run
    assert decode_record(changed(encode_record(record), mood=1)) == record


def test_fields_that_have_a_default_may_be_missing(run: Run) -> None:
    row = json.loads(encode_run(run))
    del row["plan"]["limit"], row["plan"]["sampling"], row["memory"]
    del row["max_prompt_tokens"], row["resumptions"]
    plan = replace(run.plan, sampling=Sampling(truncate=True))
    assert decode_run(json.dumps(row).encode())[0] == replace(run, memory={}, plan=plan)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"[]", "Expected object, got array"),
        (b"\xff{}", "not JSON: .*byte 0"),
        (b'{"schema": 2}', "it has schema 2 and this version reads 1; install a newer one"),
        (b'{"schema": "1"}', "names no schema"),
        (b"{}", "names no schema"),
        (b'{"schema": 1}', "missing required field run_id"),
        (b'{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_run_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_run(data)


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("plan.threads", "many", r"got str - at \$\.plan\.threads"),
        ("plan.threads", True, r"got bool - at \$\.plan\.threads"),
        ("plan.threads", 0, "threads is 0; it must be at least 1"),
        ("plan.systems", ["llm", "ssm"], "system is 'ssm', not one of llm, slm, hybrid"),
        ("plan.systems", "llm", r"got str - at \$\.plan\.systems"),
        ("plan.sampling", 3, r"got int - at \$\.plan\.sampling"),
        ("plan.limit", "x", r"got str - at \$\.plan\.limit"),
        ("environment.packages", {"torch": 2}, r"got int - at \$\.environment\.packages"),
        ("memory.slm", {"resident": 1}, r"field before_model - at \$\.memory"),
        ("created_at", None, r"got null - at \$\.created_at"),
    ],
)
def test_a_wrong_field_is_named(run: Run, path: str, value: object, reason: str) -> None:
    row = json.loads(encode_run(run))
    *folders, name = path.split(".")
    place = row
    for folder in folders:
        place = place[folder]
    place[name] = value
    with pytest.raises(ValueError, match=reason):
        decode_run(json.dumps(row).encode())


def test_a_record_comes_back_equal(record: Record) -> None:
    assert decode_record(encode_record(record)) == record


def sealed(line: bytes) -> bytes:
    """A line that may be of before there were checksums."""
    return line if check_seal(line) else seal(line)


def test_every_stored_line_comes_back_byte_for_byte() -> None:
    """What earlier versions have written is read whole: written again, nothing moves but for a checksum."""
    lines = 0
    forms = {"examples": (decode_example, encode_example), "records": (decode_record, encode_record)}
    for name, (read, write) in forms.items():
        for path in RESULTS.glob(f"*/{name}.jsonl"):
            for line in path.read_bytes().splitlines(keepends=True):
                assert write(read(line)) == sealed(line)
                lines += 1
    for path in RESULTS.glob("grids/*.jsonl"):
        header, *cells = path.read_bytes().splitlines(keepends=True)
        grid = decode_grid(header)  # to which later versions have added fields
        assert decode_grid(encode_grid(grid)) == grid
        assert [encode_cell(decode_cell(line)) for line in cells] == list(map(sealed, cells))
    assert lines > 10_000
    for path in RESULTS.glob("*/run.json"):
        run, header = decode_run(path.read_bytes())
        assert (header.run_id, header.records) == (run.run_id, run.planned)
        assert decode_run(encode_run(run))[0] == run


def test_a_restored_record_is_a_record(record: Record) -> None:
    again = decode_record(encode_record(record))
    for decoded, expected in ((again, record), (again.generation, record.generation)):
        assert vars(decoded).keys() == vars(expected).keys()
    assert type(again.system) is System
    assert replace(again, repeat=1).repeat == 1


@pytest.mark.parametrize("text", [HOSTILE, HOSTILE.replace("\ud800", ""), ""])
def test_any_text_comes_back_equal_from_one_line(record: Record, text: str) -> None:
    line = encode_record(with_text(record, text))
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert decode_record(line) == with_text(record, text)


def test_text_is_readable_in_the_file(record: Record) -> None:
    assert "Grüße 😀" in encode_record(with_text(record, "Grüße 😀")).decode()


def test_an_example_comes_back_equal() -> None:
    example = Example("a", "news", HOSTILE, ("One.", HOSTILE))
    assert decode_example(encode_example(example)) == example


def test_times_are_kept_to_the_microsecond_and_phases_to_a_tenth(record: Record) -> None:
    timing = Timing({"decode": 0.01234567891}, tuple(0.001234567 * i for i in range(1, 6)))
    line = encode_record(replace(record, generation=replace(record.generation, timing=timing)))
    row = json.loads(line)
    assert row["token_us"] == [1235, 2469, 3704, 4938, 6173]
    assert row["phases_us"] == {"decode": 12345.7}
    again = decode_record(line)
    assert again.generation.timing.token_times_s == pytest.approx(timing.token_times_s, abs=0.5e-6)
    assert encode_record(again) == line  # written again, nothing moves


def test_statistics_keep_every_digit(record: Record) -> None:
    statistics = {"rougeL": (1 / 3,), "bleu": (3.0, 12.0, 0.1 + 0.2)}
    line = encode_record(replace(record, statistics=statistics))
    assert b'"bleu":[3,12,0.30000000000000004]' in line
    assert decode_record(line).statistics == statistics


def test_what_is_no_number_is_not_written(record: Record) -> None:
    with pytest.raises(ValueError, match="JSON"):
        encode_record(replace(record, statistics={"bleu": (float("inf"), 0.5)}))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"text": ...}, "missing required field text"),
        ({"text": 3}, r"got int - at \$\.text"),
        ({"example": None}, r"got null - at \$\.example"),
        ({"system": "ssm"}, "system is 'ssm', not one of llm, slm, hybrid"),
        ({"system": []}, r"system is \[\], not a string"),
        ({"system": "llm@"}, "system is 'llm@', not one of"),
        ({"drafted": 3, "accepted": 4}, "4 of 3 drafted ids are accepted"),
        ({"prompt_tokens": 10**30}, r"<= 9007199254740992 - at \$\.prompt_tokens"),
        ({"repeat": -1}, r">= 0 - at \$\.repeat"),
        ({"drafted": "3"}, r"got str - at \$\.drafted"),
        ({"finish": "tired"}, r"'tired' - at \$\.finish"),
        ({"token_ids": [1]}, "1 token_ids and 5 token_us"),
        ({"token_ids": [], "token_us": []}, "0 token_ids and 0 token_us"),
        ({"token_ids": ["1"] * 5}, r"got str - at \$\.token_ids"),
        ({"token_us": ["1"] * 5}, r"got str - at \$\.token_us"),
        ({"token_us": 5}, r"got int - at \$\.token_us"),
        ({"phases_us": {"lunch": 1}}, r"'lunch' - at key in \$\.phases_us"),
        ({"phases_us": []}, r"got array - at \$\.phases_us"),
        ({"statistics": {"bleu": [None]}}, r"got null - at \$\.statistics"),
        ({"repeat": 0.5}, r"got float - at \$\.repeat"),
        ({"phases_us": {"decode": -1}}, r">= 0.0 - at \$\.phases_us"),
        ({"token_us": [-1, 2, 3, 4, 5]}, r">= 0.0 - at \$\.token_us"),
        ({"token_us": [1, 2, 3, 4, 10**400]}, r"out of range - at \$\.token_us"),
        ({"statistics": {"ter": [1, -1]}}, r">= 0.0 - at \$\.statistics"),
        ({"statistics": {"ter": [1, float("nan")]}}, "it is not JSON"),
        ({"text": "\ud800", "statistics": {"ter": [1, float("inf")]}}, "Infinity is no number"),
    ],
)
def test_a_wrong_record_is_refused(record: Record, fields: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_record(changed(encode_record(record), **fields))


def test_the_last_line_says_how_many_belong_to_an_append_cut_short(record: Record) -> None:
    assert rows_to_drop(encode_record(record)) == 0
    assert [rows_to_drop(encode_record(record, row, 3)) for row in range(3)] == [1, 2, 0]
    assert rows_to_drop(b"{damaged\n") == 0
    assert rows_to_drop(changed(encode_record(record), append="x")) == 0


def test_a_line_of_a_batch_is_a_record_like_any_other(record: Record) -> None:
    assert decode_record(encode_record(record, 1, 3)) == record


def test_a_run_of_before_there_were_blocks_is_one(run: Run) -> None:
    row = json.loads(encode_run(run))
    assert decode_run(json.dumps(row).encode())[0].plan.blocks == 3
    del row["plan"]["blocks"], row["probes"]
    decoded, _ = decode_run(json.dumps(row).encode())
    assert (decoded.plan.blocks, decoded.probes) == (1, ())


@pytest.mark.parametrize("blocks", [0, "3", None])
def test_blocks_that_cannot_be_are_refused(run: Run, blocks: object) -> None:
    row = json.loads(encode_run(run))
    row["plan"]["blocks"] = blocks
    with pytest.raises(ValueError, match="blocks"):
        decode_run(json.dumps(row).encode())


def test_probes_blocks_and_disturbances_come_back(run: Run, record: Record) -> None:
    probed = replace(run, probes=(Probe(taken_at=run.created_at, bandwidth=2e10, cpu_share=0.99),))
    assert decode_run(encode_run(probed))[0] == probed
    timing = replace(record.generation.timing, disturbed=True)
    other = replace(record, block=2, generation=replace(record.generation, timing=timing))
    assert decode_record(encode_record(other)) == other


@pytest.mark.parametrize(
    ("gaps_s", "paused"),
    [
        ((0.03,) * 9, False),
        ((0.03,) * 5 + (70.0,) + (0.03,) * 5, True),  # stopped for a minute
        ((0.03,) * 5 + (0.9,), False),  # less than a second may be anything
        ((0.2, 0.2, 1.5, 0.2), False),  # slow, and not 20 times as slow
        ((2.0, 2.0), False),
        ((0.0, 0.05, 0.0, 0.05, 0.0, 3.0), True),  # drafts come several at once
    ],
)
def test_a_long_gap_between_tokens_is_a_disturbance_also_where_none_was_stored(
    record: Record, gaps_s: tuple[float, ...], paused: bool
) -> None:
    times = tuple(itertools.accumulate(gaps_s, initial=0.1))
    row = changed(
        encode_record(record), token_us=[round(1e6 * s) for s in times], token_ids=list(range(len(times)))
    )
    assert decode_record(row).generation.timing.disturbed is paused
