"""A digit that was changed anywhere in a stored run is found, and one that has no checksum still read."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid import store
from hybrid.errors import StoreError
from hybrid.store import StoredRun, Writer, load_run
from hybrid.store.checks import check_seal, last_line, seal, without_last_line
from hybrid.store.codec import encode_example, encode_run
from hybrid.store.record_lines import encode_record

END = "2026-11-23T02:00:00+00:00"
CHANGED = "its checksum does not fit: it was changed after it was written"


@pytest.fixture
def folder(fake: StoredRun, tmp_path: Path) -> Path:
    """A complete run."""
    with store.create(fake.run, fake.examples, tmp_path) as writer:
        writer.append(fake.records)
        return tmp_path / writer.finish({}, END).run_id


def before_checksums(fake: StoredRun, root: Path, records: int) -> Path:
    """An incomplete run as earlier versions wrote it."""
    folder = root / fake.run.run_id
    folder.mkdir(parents=True)
    lines = {
        "examples.jsonl": map(encode_example, fake.examples),
        "records.jsonl": map(encode_record, fake.records[:records]),
    }
    for name, sealed in lines.items():
        rows = [json.loads(line) for line in sealed]
        text = "".join(json.dumps({k: row[k] for k in row if k != "crc32"}) + "\n" for row in rows)
        (folder / name).write_text(text)
    (folder / "run.json").write_bytes(encode_run(fake.run))
    return folder


@pytest.mark.parametrize("indented", [False, True])
def test_a_seal_fits_and_every_flipped_bit_is_found(indented: bool) -> None:
    value = {"a": 1, "b": {"c": "}\n"}}
    data = seal(json.dumps(value, indent=1 if indented else None).encode() + b"\n", indented)
    assert json.loads(data) == value | {"crc32": json.loads(data)["crc32"]}
    assert check_seal(data, indented, required=True)
    assert check_seal(data.rstrip(), indented)  # whose line end is lost
    for place in range(len(data) - 1):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            with pytest.raises(ValueError, match="checksum"):
                check_seal(bytes(flipped), indented, required=True)


def test_what_has_no_seal_is_let_pass_unless_it_must() -> None:
    line = b'{"a":"\\",\\"crc32\\":\\""}\n'  # the key inside a text
    assert not check_seal(line)
    with pytest.raises(ValueError, match="lost its checksum"):
        check_seal(line, required=True)
    assert check_seal(seal(line))


def test_the_last_line_is_of_all_before_it() -> None:
    from zlib import crc32

    body = b'{"a":1}\n{"b":2}\n'
    assert without_last_line(body + last_line(crc32(body))) == body
    for data in (body, body[2:] + last_line(crc32(body)), body + last_line(0), b""):
        with pytest.raises(ValueError, match=r"checksum does not fit|lost its end"):
            without_last_line(data)


def test_a_digit_changed_anywhere_in_the_answers_is_found(folder: Path, fake: StoredRun) -> None:
    draw = random.Random(5)
    for name, whole in (("records.jsonl", 9), ("examples.jsonl", 3)):
        path = folder / name
        data = path.read_bytes()
        digits = [place for place, byte in enumerate(data) if chr(byte).isdigit()]
        for place in draw.sample(digits, min(20, len(digits))):
            digit = b"1" if data[place : place + 1] == b"7" else b"7"
            path.write_bytes(data[:place] + digit + data[place + 1 :])
            loaded = load_run(folder.name, folder.parent)
            number = data[:place].count(b"\n") + 1
            assert loaded.problems[0].startswith(f"{path}, line {number}, is damaged and left out: ")
            assert len(loaded.records if whole == 9 else loaded.examples) == whole - 1
        path.write_bytes(data)


def test_a_line_that_has_lost_its_checksum_is_damaged(folder: Path) -> None:
    path = folder / "records.jsonl"
    first, rest = path.read_bytes().split(b"\n", 1)
    path.write_bytes(first.partition(b',"crc32"')[0] + b"}\n" + rest)
    loaded = load_run("latest", folder.parent)
    assert "line 1, is damaged and left out: it has lost its checksum." in loaded.problems[0]


def test_run_json_that_was_written_into_is_said(folder: Path) -> None:
    path = folder / "run.json"
    path.write_bytes(path.read_bytes().replace(b'"cpu_count": 2', b'"cpu_count": 4'))
    sentence = f"{path} is to be doubted: {CHANGED}."
    assert store.list_runs(folder.parent).problems == (sentence,)
    loaded = load_run(folder.name, folder.parent)
    assert loaded.problems == (sentence,)
    assert loaded.run.environment.cpu_count == 4


def test_a_run_of_before_there_were_checksums_is_read_and_goes_on(
    fake: StoredRun, tmp_path: Path, started: Callable[..., Writer]
) -> None:
    before_checksums(fake, tmp_path, 4)
    loaded = load_run("latest", tmp_path)
    assert loaded == replace(fake, records=fake.records[:4], sealed=False)
    with store.resume("latest", tmp_path) as writer:
        writer.append(fake.records[4:])
        run = writer.finish({}, END)
    assert load_run("latest", tmp_path) == replace(fake, run=run, sealed=False)  # its first lines have none
    assert not store.list_runs(tmp_path).runs[0].sealed
    assert started(replace(fake, run=replace(fake.run, run_id="new")), tmp_path).run.run_id == "new"
    assert {summary.run.run_id: summary.sealed for summary in store.list_runs(tmp_path).runs}["new"]


def test_a_flipped_bit_in_run_json_is_found_or_refused(folder: Path) -> None:
    path = folder / "run.json"
    data = path.read_bytes()
    draw = random.Random(6)
    for _ in range(60):
        flipped = bytearray(data)
        flipped[draw.randrange(len(data) - 1)] ^= 1 << draw.randrange(8)
        path.write_bytes(flipped)
        try:
            loaded = load_run(folder.name, folder.parent)
        except StoreError:
            continue
        assert loaded.problems or not loaded.sealed or "crc32" not in json.loads(bytes(flipped))
