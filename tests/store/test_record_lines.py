"""Many lines at once are read as each alone, and doubted wherever one alone would be refused."""

import json
from dataclasses import replace

import pytest

from hybrid.schema import Run
from hybrid.store import StoredRun
from hybrid.store.checks import seal
from hybrid.store.record_lines import decode_line, decode_sound, encode_record, record_of


@pytest.fixture
def lines(fake: StoredRun) -> list[bytes]:
    return [encode_record(record) for record in fake.records]


def test_lines_together_are_those_alone(fake: StoredRun, lines: list[bytes]) -> None:
    rows = decode_sound(lines, fake.run, _ids(fake), sealed=True)
    assert rows == [decode_line(line, sealed=True) for line in lines]
    assert tuple(map(record_of, rows)) == fake.records


@pytest.mark.parametrize(
    "fields",
    [
        {"repeat": 900}, {"block": 900}, {"position": 90_000}, {"started_at": "0001-01-01T00:00:00"},
        {"example": "another"}, {"system": "lossless"}, {"text": 3}, {"token_ids": [7]}, {"accepted": 1},
        {"token_us": [9, 8]}, {"phases_us": {}}, {"statistics": {"length": [1]}},
        {"statistics": {"repetition": [2, 1]}},
    ],
)  # fmt: skip
def test_one_line_that_is_wrong_is_doubted(
    fake: StoredRun, lines: list[bytes], fields: dict[str, object]
) -> None:
    row = json.loads(lines[1]) | fields
    row.pop("crc32")
    changed = seal(json.dumps(row).encode())
    assert decode_sound([lines[0], changed, *lines[2:]], fake.run, _ids(fake), sealed=True) is None


def test_a_checksum_that_does_not_fit_is_doubted(fake: StoredRun, lines: list[bytes]) -> None:
    changed = lines[1].replace(b'"position":1', b'"position":2')
    assert changed != lines[1]
    assert decode_sound([lines[0], changed], fake.run, _ids(fake), sealed=True) is None
    without = lines[1].partition(b',"crc32"')[0] + b"}\n"
    assert decode_sound([lines[0], without], fake.run, _ids(fake), sealed=True) is None
    assert decode_sound([without], fake.run, _ids(fake), sealed=False) is not None


def test_a_line_of_another_run_is_doubted(fake: StoredRun, lines: list[bytes]) -> None:
    assert decode_sound(lines, fake.run, _ids(fake) - {fake.records[0].example_id}, sealed=True) is None
    shorter: Run = replace(fake.run, planned=1)
    assert decode_sound(lines, shorter, _ids(fake), sealed=True) is None


def _ids(stored: StoredRun) -> set[str]:
    return {example.id for example in stored.examples}
