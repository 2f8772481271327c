"""A record comes back from its line as it was; many lines at once are read as each alone, or doubted."""

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest

from hybrid.schema import Example, Record, Run, System, Timing
from hybrid.store import StoredRun
from hybrid.store.checks import seal
from hybrid.store.codec import decode_example, encode_example
from hybrid.store.record_lines import decode_line, decode_sound, encode_record, record_of, rows_to_drop

HOSTILE = "Grüße\n\r\n\t\0 \u2028 \x85 \ud800 \U0001f600 \"quoted\" '=1+1' \\ ."


@pytest.fixture
def record(fake: StoredRun) -> Record:
    return fake.records[1]


@pytest.fixture
def lines(fake: StoredRun) -> list[bytes]:
    return [encode_record(record) for record in fake.records]


def changed(data: bytes, **fields: Any) -> bytes:
    row = json.loads(data) | fields
    return json.dumps({key: value for key, value in row.items() if value is not ...}).encode()


def decode_record(line: bytes) -> Record:
    return record_of(decode_line(line))


def with_text(record: Record, text: str) -> Record:
    return replace(record, generation=replace(record.generation, text=text))


def test_a_record_comes_back_equal(record: Record) -> None:
    assert decode_record(encode_record(record)) == record


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


def test_fields_of_a_later_version_are_let_pass(record: Record) -> None:
    assert decode_record(changed(encode_record(record), mood=1)) == record


def test_blocks_and_disturbances_come_back(record: Record) -> None:
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
