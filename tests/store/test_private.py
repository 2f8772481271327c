"""Runs without texts: what is stored in their place, and what it says and does not say."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid.compare.private import withheld, without_texts
from hybrid.errors import StoreError
from hybrid.schema import TASKS, Example, Suite, Withheld
from hybrid.store import RunReader, create, import_archive, list_runs, load_run, write_archive
from hybrid.store.checks import seal
from hybrid.store.private import SECRET, Digests
from tests.leaks import leaked
from tests.made_runs import store_run

TEXT = "Der Vertrag endet am letzten Tag des Monats."
EXAMPLES = (
    Example("a", "law", TEXT, ("The contract ends on the last day.",)),
    Example("b", "law", TEXT, (TEXT,)),
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    store_run(root, examples=6, repeats=2)
    return root


@pytest.fixture(scope="module")
def private(results: Path) -> str:
    """A private copy of the made-up run, and its id."""
    stored = withheld(load_run("made-0000", results), Digests("ab" * 32))
    run = replace(stored.run, run_id="private-0000", finished_at=None, memory={})
    with create(run, stored.examples, results) as writer:
        for record in stored.records:
            writer.append([record])
        writer.finish({}, "2026-10-01T00:00:00+00:00")
    return "private-0000"


def rewritten(root: Path, run_id: str, name: str, **fields: object) -> list[str]:
    """Give the problems of the run once the first line of a file has other fields."""
    path = root / run_id / name
    before = path.read_bytes()
    first, _, rest = before.partition(b"\n")
    row = json.loads(first) | fields
    row.pop("crc32")
    path.write_bytes(seal(json.dumps(row, separators=(",", ":")).encode()) + rest)
    try:
        return list(load_run(run_id, root).problems)
    finally:
        path.write_bytes(before)


def test_the_same_texts_have_the_same_digests_and_others_none_of_them() -> None:
    suite = Suite("s", "translate-en-de", "", EXAMPLES)
    more = replace(suite, examples=(*EXAMPLES, Example("c", "law", "Neu.", ("New.",))))
    first, again, other = (Digests(s.content_hash) for s in (suite, suite, more))
    assert first.suite_hash == again.suite_hash != other.suite_hash
    assert first.examples(EXAMPLES) == again.examples(EXAMPLES)
    ids = [example.id for digests in (first, other) for example in digests.examples(EXAMPLES)]
    assert len(set(ids)) == 4


def test_a_secret_makes_other_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    without = Digests("ab" * 32)
    monkeypatch.setenv(SECRET, "only we know")
    with_secret = Digests("ab" * 32)
    assert without.suite_hash != with_secret.suite_hash
    assert without.examples(EXAMPLES) != with_secret.examples(EXAMPLES)


def test_what_stands_for_an_answer_tells_equal_ones_of_one_example_and_nothing_of_two(results: Path) -> None:
    stored = load_run("made-0000", results)
    digests = Digests("ab" * 32)
    record = stored.records[0]

    def digest(example_id: str, text: str) -> str:
        answer = replace(record, generation=replace(record.generation, text=text))
        return digests.record(answer, example_id).generation.identity

    assert digest("x", TEXT) == digest("x", TEXT)
    assert len({digest("x", TEXT), digest("y", TEXT), digest("x", TEXT + " ")}) == 3


def test_an_answer_keeps_its_lengths_and_times_and_neither_text_nor_ids(results: Path, private: str) -> None:
    stored = load_run("made-0000", results)
    pairs = zip(stored.records, load_run(private, results).records, strict=True)
    for before, after in pairs:
        was, generation = before.generation, after.generation
        assert isinstance(generation.withheld, Withheld)
        assert (generation.text, generation.token_ids) == ("", ())
        assert (generation.characters, generation.output_tokens) == (len(was.text), len(was.token_ids))
        timing = generation.timing
        assert (timing.ttft_s, timing.tpot_s, timing.total_s) == (
            was.timing.ttft_s, was.timing.tpot_s, was.timing.total_s,
        )  # fmt: skip
        assert len(timing.token_times_s) <= 2
        assert after.statistics == before.statistics


def test_a_private_run_is_of_a_schema_that_earlier_versions_refuse(results: Path, private: str) -> None:
    schemas = [
        json.loads((results / name / "run.json").read_text())["schema"] for name in ("made-0000", private)
    ]
    assert schemas == [1, 2]


def test_no_byte_of_folder_and_archive_holds_a_text(results: Path, private: str) -> None:
    open_run = load_run("made-0000", results)
    texts = [text for e in open_run.examples for text in (e.source, *e.references)]
    texts += [record.generation.text for record in open_run.records]
    archive = io.BytesIO()
    write_archive("made-0000", archive, results)
    assert leaked(archive.getvalue(), texts), "the search finds what is there"
    archive = io.BytesIO()
    write_archive(private, archive, results)
    assert not leaked(archive.getvalue(), texts)
    for path in (results / private).iterdir():
        assert not leaked(path.read_bytes(), texts), path


def test_an_archive_brings_a_private_run(results: Path, private: str, tmp_path: Path) -> None:
    archive = io.BytesIO()
    write_archive(private, archive, results)
    run_id, problems = import_archive(archive, tmp_path)
    assert problems == ()
    before, after = load_run(private, results), load_run(run_id, tmp_path)
    assert (after.run, after.examples, after.records) == (before.run, before.examples, before.records)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("records.jsonl", {"text": TEXT}),
        ("records.jsonl", {"token_ids": [1, 2]}),
        ("records.jsonl", {"digest": "x"}),
        ("records.jsonl", {"digest": ""}),
        ("records.jsonl", {"tokens": 1}),
        ("records.jsonl", {"tokens": 0}),
        ("records.jsonl", {"token_us": [1, 2, 3]}),
        ("examples.jsonl", {"source": TEXT}),
        ("examples.jsonl", {"references": [TEXT]}),
        ("examples.jsonl", {"domain": "law"}),
        ("examples.jsonl", {"id": "contract-1"}),
    ],
)
def test_a_line_that_holds_more_or_less_than_it_may_is_damage(
    results: Path, private: str, name: str, fields: dict[str, object]
) -> None:
    problems = rewritten(results, private, name, **fields)
    assert f"{name}, line 1, is damaged" in problems[0]


@pytest.mark.parametrize("fields", [{"digest": "ab" * 16}, {"tokens": 3}, {"characters": 3}])
def test_an_open_line_with_a_digest_is_damage(results: Path, fields: dict[str, object]) -> None:
    assert (
        "records.jsonl, line 1, is damaged" in rewritten(results, "made-0000", "records.jsonl", **fields)[0]
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"suite": "made-up"', b'"suite": "file:x.tsv"'), (b'"columns": {}', b'"columns": {"source": "x"}')],
)
def test_a_private_run_that_names_its_texts_is_not_read(
    results: Path, private: str, old: bytes, new: bytes
) -> None:
    path = results / private / "run.json"
    before = path.read_bytes()
    path.write_bytes(before.replace(old, new))
    try:
        assert private in list_runs(results).damaged
        with pytest.raises(StoreError, match="private"):
            RunReader(private, results)
    finally:
        path.write_bytes(before)


def test_scores_in_files_of_their_own_are_no_part_of_a_private_run(results: Path, private: str) -> None:
    path = results / private / "scores-bleu.jsonl"
    path.write_bytes(b"{}\n")
    try:
        assert load_run(private, results).problems == ()
        archive = io.BytesIO()
        write_archive(private, archive, results)
        assert b"scores-" not in archive.getvalue()
    finally:
        path.unlink()


def test_examples_keep_nothing_but_digests() -> None:
    digests = Digests("ab" * 32)
    examples = without_texts(digests.examples(EXAMPLES), digests, TASKS["translate-en-de"], ("bleu",))
    assert {(e.domain, e.source, e.references) for e in examples} == {("", "", ())}
