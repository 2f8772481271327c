"""The cache lies where the user says, else where the system keeps caches; fingerprints follow a run."""

import stat
from pathlib import Path

import pytest

from hybrid.errors import StoreError
from hybrid.models.manifest import user_zoo
from hybrid.store import create, results_fingerprint, run_fingerprint
from hybrid.store.files import make_private
from hybrid.store.folders import cache_folder, data_folder, results_folder, runtime_folder, suites_folder


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


@pytest.mark.parametrize(
    ("shared", "expected"),
    [("/c", "/c/hybrid-bench"), (None, "/home/somebody/.local/share/hybrid-bench"),
     ("relative/path", "/home/somebody/.local/share/hybrid-bench")],
)  # fmt: skip
def test_the_folder_for_data(monkeypatch, shared, expected):
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("HYBRID_ZOO", raising=False)
    if shared is None:
        monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    else:
        monkeypatch.setenv("XDG_DATA_HOME", shared)
    assert data_folder() == Path(expected)
    assert user_zoo() == Path(expected) / "pairs"


NAMED = {"HYBRID_RESULTS": results_folder, "HYBRID_SUITES": suites_folder, "HYBRID_CACHE": cache_folder,
         "HYBRID_RUNTIME": runtime_folder, "HYBRID_ZOO": user_zoo}  # fmt: skip


@pytest.mark.parametrize("variable", NAMED)
def test_every_folder_that_is_named_is_read_alike(variable, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    home = "/home/somebody"
    for value, expected in (("~/x", f"{home}/x"), ("~", home), ("~x/y", "~x/y"), ("/x", "/x")):
        monkeypatch.setenv(variable, value)
        assert NAMED[variable]() == Path(expected)
    monkeypatch.delenv(variable)
    unnamed = NAMED[variable]()
    for value in ("", " "):
        monkeypatch.setenv(variable, value)
        assert NAMED[variable]() == unnamed


@pytest.fixture
def homeless(monkeypatch, tmp_path):
    """A user whom the system does not know, as in a container, without HOME."""
    monkeypatch.delenv("HOME", raising=False)
    for name in ("HYBRID_CACHE", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    monkeypatch.setenv("HYBRID_RUNTIME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("variable", NAMED)
def test_without_a_home_folder_the_whole_path_is_asked_for(variable, homeless, monkeypatch):
    assert (cache_folder(), data_folder()) == (homeless / "cache", homeless / "data")
    monkeypatch.setenv(variable, "~/x")
    with pytest.raises(StoreError, match=rf"{variable} names '~/x'.*no home folder; write the whole path"):
        NAMED[variable]()


def test_what_is_kept_is_closed_to_others(tmp_path):
    (tmp_path / "views").mkdir(mode=0o755)
    for folder in (tmp_path / "views", tmp_path / "new" / "onnx"):
        make_private(folder)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    (tmp_path / "link").symlink_to("views")
    with pytest.raises(NotADirectoryError):
        make_private(tmp_path / "link")


def test_a_fingerprint_follows_every_append_and_the_end(tmp_path: Path, fake_run):
    stored = fake_run()
    with create(stored.run, stored.examples, tmp_path) as writer:
        run_id = writer.run.run_id
        seen = [(run_fingerprint(run_id, tmp_path), results_fingerprint(tmp_path))]
        for record in stored.records:
            writer.append([record])
            seen.append((run_fingerprint(run_id, tmp_path), results_fingerprint(tmp_path)))
        writer.finish({}, "2026-11-23T02:00:00+00:00")
        seen.append((run_fingerprint(run_id, tmp_path), results_fingerprint(tmp_path)))
    assert len({part for part, _ in seen}) == len({whole for _, whole in seen}) == len(seen)
    assert seen[-1] == (run_fingerprint(run_id, tmp_path), results_fingerprint(tmp_path))


def test_adding_and_removing_a_run_changes_the_folders_stamp(tmp_path: Path, fake_run):
    empty = results_fingerprint(tmp_path / "nowhere")
    stored = fake_run()
    before = results_fingerprint(tmp_path)
    create(stored.run, stored.examples, tmp_path).close()
    assert results_fingerprint(tmp_path) != before
    assert results_fingerprint(tmp_path / "nowhere") == empty


def test_a_run_that_is_not_there_has_a_stamp(tmp_path: Path):
    assert run_fingerprint("not-there", tmp_path) == run_fingerprint("not-there", tmp_path)
    assert run_fingerprint("a\0b", tmp_path)
