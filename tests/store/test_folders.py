"""The cache lies where the user says, else where the system keeps caches; fingerprints follow a run."""

from pathlib import Path

import pytest

from hybrid.store import create, results_fingerprint, run_fingerprint
from hybrid.store.folders import cache_folder


@pytest.mark.parametrize(
    ("own", "shared", "expected"),
    [
        ("/a/b", "/c", "/a/b"),
        ("~/mine", None, "/home/somebody/mine"),
        (None, "/c", "/c/hybrid-bench"),
        ("", "", "/home/somebody/.cache/hybrid-bench"),
        (None, None, "/home/somebody/.cache/hybrid-bench"),
        (None, "relative/path", "/home/somebody/.cache/hybrid-bench"),
    ],
)
def test_the_folder(monkeypatch, own, shared, expected):
    monkeypatch.setenv("HOME", "/home/somebody")
    for name, value in {"HYBRID_CACHE": own, "XDG_CACHE_HOME": shared}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)


def test_a_fingerprint_follows_every_append_and_the_end(tmp_path: Path, fake_run):
    found = fake_run()
    with create(found.run, found.examples, tmp_path) as writer:
        run_id = writer.run.run_id
        seen = [(run_fingerprint(run_id, tmp_path), results_fingerprint(tmp_path))]
        for record in found.records:
            writer.append([record])
            seen.append((run_fingerprint(run_id, tmp_path), results_fingerprint(tmp_path)))
        writer.finish({}, "2026-11-23T02:00:00+00:00")
        seen.append((run_fingerprint(run_id, tmp_path), results_fingerprint(tmp_path)))
    assert len({one for one, _ in seen}) == len({whole for _, whole in seen}) == len(seen)
    assert seen[-1] == (run_fingerprint(run_id, tmp_path), results_fingerprint(tmp_path))


def test_adding_and_removing_a_run_changes_the_folders_stamp(tmp_path: Path, fake_run):
    empty = results_fingerprint(tmp_path / "nowhere")
    found = fake_run()
    before = results_fingerprint(tmp_path)
    create(found.run, found.examples, tmp_path).close()
    assert results_fingerprint(tmp_path) != before
    assert results_fingerprint(tmp_path / "nowhere") == empty


def test_a_run_that_is_not_there_has_a_stamp(tmp_path: Path):
    assert run_fingerprint("not-there", tmp_path) == run_fingerprint("not-there", tmp_path)
    assert run_fingerprint("a\0b", tmp_path)
