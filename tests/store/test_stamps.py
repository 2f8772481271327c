"""A stamp changes when a run does, and only then."""

from pathlib import Path

from hybrid.store import create, results_stamp, run_stamp


def test_a_stamp_follows_every_append_and_the_end(tmp_path: Path, fake_run):
    found = fake_run()
    with create(found.run, found.examples, tmp_path) as writer:
        run_id = writer.run.run_id
        seen = [(run_stamp(run_id, tmp_path), results_stamp(tmp_path))]
        for record in found.records:
            writer.append([record])
            seen.append((run_stamp(run_id, tmp_path), results_stamp(tmp_path)))
        writer.finish({}, "2026-11-23T02:00:00+00:00")
        seen.append((run_stamp(run_id, tmp_path), results_stamp(tmp_path)))
    assert len({one for one, _ in seen}) == len({whole for _, whole in seen}) == len(seen)
    assert seen[-1] == (run_stamp(run_id, tmp_path), results_stamp(tmp_path))


def test_adding_and_removing_a_run_changes_the_folders_stamp(tmp_path: Path, fake_run):
    empty = results_stamp(tmp_path / "nowhere")
    found = fake_run()
    before = results_stamp(tmp_path)
    create(found.run, found.examples, tmp_path).close()
    assert results_stamp(tmp_path) != before
    assert results_stamp(tmp_path / "nowhere") == empty


def test_a_run_that_is_not_there_has_a_stamp(tmp_path: Path):
    assert run_stamp("not-there", tmp_path) == run_stamp("not-there", tmp_path)
    assert run_stamp("a\0b", tmp_path)
