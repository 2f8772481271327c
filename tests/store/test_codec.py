"""What is written of runs and grids comes back as it was, and what is no JSON of ours is refused in words."""

import json
from dataclasses import replace
from types import MappingProxyType

import pytest

from hybrid.schema import Memory, Probe, Record, Resumption, Run, Sampling, Task, task_named
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
from hybrid.store.record_lines import decode_line, encode_record, record_of

RESULTS = ROOT / "results"


@pytest.fixture
def run(fake: StoredRun) -> Run:
    memory = {"llm": Memory(resident=5, before_model=3)}
    return replace(fake.run, finished_at="2026-11-23T02:00:00+00:00", memory=memory)


def decode_record(line: bytes) -> Record:
    return record_of(decode_line(line))


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


def test_fields_of_a_later_version_are_let_pass(run: Run) -> None:
    row = json.loads(encode_run(run))
    row["plan"]["colour"] = "blue"
    assert decode_run(json.dumps(row | {"mood": 1}).encode())[0] == run


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
        (b'{"schema": 3}', "it has schema 3 and this version reads 2; install a newer one"),
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


def test_probes_come_back(run: Run) -> None:
    probed = replace(run, probes=(Probe(taken_at=run.created_at, bandwidth=2e10, cpu_share=0.99),))
    assert decode_run(encode_run(probed))[0] == probed
