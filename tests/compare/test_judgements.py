"""Judgements of answers: what a run gives to be judged, who accepts what, and files that are not whole."""

import json
from pathlib import Path
from typing import Any

import pytest

from hybrid.compare import acceptability, begin_judgements
from hybrid.compare.judgements import READINGS, wilson
from hybrid.errors import InputError, StoreError
from hybrid.schema import SYSTEMS, System


@pytest.fixture
def folder(fake_run, tmp_path: Path) -> Path:
    begin_judgements(fake_run(examples=4, repeats=2), tmp_path / "judged")
    return tmp_path / "judged"


def rows(folder: Path, number: int) -> list[dict[str, Any]]:
    text = (folder / f"reading-{number}.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def rewrite(folder: Path, number: int, changed: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(row) + "\n" for row in changed)
    (folder / f"reading-{number}.jsonl").write_text(text, "utf-8")


def judge(folder: Path, refused: set[tuple[int, str, str]]) -> None:
    """Accept all answers but (reading, system, example)."""
    for number in range(1, READINGS + 1):
        rewrite(folder, number, [
            row | {"acceptable": (number, row["system"], row["example_id"]) not in refused}
            for row in rows(folder, number)
        ])  # fmt: skip


def test_each_reading_gets_every_answer_once_in_an_order_of_its_own(folder):
    orders = [[(row["system"], row["example_id"]) for row in rows(folder, n)] for n in (1, 2, 3)]
    assert {len(order) for order in orders} == {4 * len(SYSTEMS)}
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(orders[2])
    assert len(set(map(tuple, orders))) == 3
    first = rows(folder, 1)[0]
    assert (first["source"][:7], first["acceptable"], first["reason"]) == ("Source ", None, "")
    with pytest.raises(InputError, match=r"There are judgements in .*judged already"):
        begin_judgements(None, folder)


def test_an_answer_is_acceptable_when_two_of_three_readings_accept_it(folder):
    judge(folder, {(1, "llm", "news-0"), (1, "slm", "news-0"), (3, "slm", "news-0"), (2, "slm", "news-1")})
    counts = acceptability(folder)
    assert counts.keys() == set(SYSTEMS)
    assert [(counts[s].n, counts[s].accepted, counts[s].share) for s in SYSTEMS] == [
        (4, 4, 1.0), (4, 3, 0.75), (4, 4, 1.0),
    ]  # fmt: skip
    slm = counts[System("slm")]
    assert (slm.by_reading, slm.unanimous) == ((3, 3, 3), 2)
    assert (slm.low, slm.high) == wilson(3, 4)


@pytest.mark.parametrize(("accepted", "n", "low", "high"), [
    (90, 100, 0.8256, 0.9448), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (15, 148, 0.0624, 0.1605),
])  # fmt: skip
def test_wilsons_interval(accepted, n, low, high):
    """The last one: Newcombe 1998, Stat. Med. 17, 857-872, table I."""
    assert wilson(accepted, n) == pytest.approx((low, high), abs=5e-5)


def test_what_is_not_whole_is_refused(folder):
    with pytest.raises(
        StoreError, match=r"reading-1\.jsonl, line 1: \w+'s answer to news-\d is not judged yet"
    ):
        acceptability(folder)
    judge(folder, set())
    whole = rows(folder, 2)
    for changed, reason in (
        (whole[1:], r"reading-2\.jsonl judges other answers than reading-1\.jsonl"),
        ([whole[0] | {"answer": "Other."}, *whole[1:]], "judges other answers"),
        ([whole[0], *whole], r"reading-2\.jsonl, line 2: .* is judged twice"),
        ([whole[0] | {"acceptable": "yes"}, *whole[1:]], r"reading-2\.jsonl, line 1: Expected .*bool"),
    ):
        rewrite(folder, 2, changed)
        with pytest.raises(StoreError, match=reason):
            acceptability(folder)
    (folder / "reading-2.jsonl").unlink()
    with pytest.raises(StoreError, match=r"reading-2\.jsonl cannot be read: No such file"):
        acceptability(folder)
