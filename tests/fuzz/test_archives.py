"""Whatever an archive is, importing it stores a run that can be read, or nothing and says why."""

import io
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybrid.errors import StoreError
from hybrid.store import import_archive, list_runs, load_run, write_archive
from tests.fuzz.mutations import mutations
from tests.made_runs import store_run

FEW, MANY = 25, int(os.environ.get("FUZZ", 5000))
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
NAMES = (
    "run.json", "../run.json", "a/b/run.json", "/run.json", "C:\\run.json", "__MACOSX/._run.json",
    ".DS_Store", "scores-bleu.jsonl", "scores-x.jsonl", "run.json/", "", "\0", "récords.jsonl", "a" * 300,
    ".lock",
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The archive of a sound run."""
    root = tmp_path_factory.mktemp("whole")
    file = io.BytesIO()
    write_archive(store_run(root, examples=2), file, root)
    return file.getvalue()


@st.composite
def archives(draw: st.DrawFn, whole: bytes) -> bytes:
    """An archive with one thing wrong: a byte of it, a file in it, the name of one."""
    how = draw(st.sampled_from(("bytes", "file", "name")))
    if how == "bytes":
        place = draw(st.integers(0, len(whole) - 1))
        return draw(
            st.sampled_from(
                (
                    whole[:place] + bytes([whole[place] ^ 1 << draw(st.integers(0, 7))]) + whole[place + 1 :],
                    whole[:place],
                    whole[place:],
                    whole + whole,
                )
            )
        )
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        files = {info.filename: archive.read(info) for info in archive.infolist()}
    chosen = draw(st.sampled_from(sorted(files)))
    if how == "file":
        files[chosen] = draw(mutations(files[chosen], lines=not chosen.endswith("run.json")))
    else:
        name = draw(st.sampled_from(NAMES))
        files[name] = files.pop(chosen) if draw(st.booleans()) else b"x"
    file = io.BytesIO()
    with zipfile.ZipFile(
        file, "w", draw(st.sampled_from((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
    ) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


def _one(data: st.DataObject, whole: bytes, root: Path) -> None:
    archive = data.draw(archives(whole))
    before = {summary.run.run_id for summary in list_runs(root).runs}
    try:
        run_id, problems = import_archive(io.BytesIO(archive), root)
    except StoreError as error:
        str(error).encode()
        assert {summary.run.run_id for summary in list_runs(root).runs} == before
    else:
        assert load_run(run_id, root).problems == problems
    assert not [path for path in root.iterdir() if path.name.startswith(".")]
    assert list_runs(root).damaged == ()


@given(data=st.data())
@settings(max_examples=FEW, deadline=None, derandomize=True, database=None, suppress_health_check=QUIET)
def test_an_archive_with_one_thing_wrong(data: st.DataObject, whole: bytes, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir(exist_ok=True)
    _one(data, whole, tmp_path / "results")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@given(data=st.data())
@settings(max_examples=MANY, deadline=None, database=None, suppress_health_check=QUIET)
def test_thousands_of_archives(data: st.DataObject, whole: bytes, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir(exist_ok=True)
    _one(data, whole, tmp_path / "results")
