"""Who may do what, by how the server was started, and which files a page may name."""

from pathlib import Path

import pytest

from hybrid.errors import SuiteError
from hybrid.presentation.access import ANY_FILE, READ_ONLY, TOKEN, Access, is_loopback


@pytest.mark.parametrize(
    ("address", "alone"),
    [
        ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True),
        ("0.0.0.0", False), ("::", False), ("", False), ("10.0.0.7", False), ("bench.example", False),
    ],
)  # fmt: skip
def test_loopback_is_what_no_other_machine_reaches(address: str, alone: bool):
    assert is_loopback(address) == alone


@pytest.mark.parametrize(
    ("access", "given", "allowed"),
    [
        (Access("127.0.0.1"), "", True),
        (Access("127.0.0.1", read_only=True), "", False),
        (Access("0.0.0.0"), "", False),  # without a token nobody has it
        (Access("0.0.0.0", token="secret"), "", False),
        (Access("0.0.0.0", token="secret"), "secre", False),
        (Access("0.0.0.0", token="secret"), "ß", False),
        (Access("0.0.0.0", token="secret"), "secret", True),
        (Access("0.0.0.0", token="secret", read_only=True), "secret", False),
    ],
)
def test_who_may_measure(access: Access, given: str, allowed: bool):
    assert (access.refusal(given) is None) == allowed
    assert "secret" not in repr(access)


def test_the_environment_says_how_the_server_was_started(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(READ_ONLY, "1")
    monkeypatch.setenv(ANY_FILE, "0")
    monkeypatch.setenv(TOKEN, "secret")
    assert Access.of_server("::1") == Access("::1", True, False, "secret")


@pytest.fixture
def suites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "results" / "suites"
    (folder / "sub").mkdir(parents=True)
    monkeypatch.setenv("HYBRID_RESULTS", str(tmp_path / "results"))
    monkeypatch.delenv("HYBRID_SUITES", raising=False)
    (tmp_path / "secret.tsv").touch()
    (folder / "link.tsv").symlink_to(tmp_path / "secret.tsv")
    return folder


@pytest.mark.parametrize("name", ["mine.tsv", "sub/mine.tsv", "sub/../mine.tsv", "~mine.tsv"])
def test_a_page_may_name_a_file_in_the_folder_of_suites(name: str, suites: Path):
    assert Access("127.0.0.1").suite(f"file:{name}") == f"file:{(suites / name).resolve()}"


def test_it_may_name_two_files_of_that_folder(suites: Path):
    folder = suites.resolve()
    assert Access("127.0.0.1").suite("file:a.en,sub/a.de") == f"file:{folder}/a.en,{folder}/sub/a.de"


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../secret.tsv", "link.tsv", "", ".", "sub/../../x", "mine,/etc/passwd", "~/x"]
)
def test_it_may_name_no_other(name: str, suites: Path):
    with pytest.raises(SuiteError, match="--any-file"):
        Access("127.0.0.1").suite(f"file:{name}")
    assert Access("127.0.0.1", any_file=True).suite(f"file:{name}") == f"file:{name}"


def test_other_suites_are_no_paths(suites: Path, monkeypatch: pytest.MonkeyPatch):
    assert Access("127.0.0.1").suite("sacrebleu:wmt20/en-de") == "sacrebleu:wmt20/en-de"
    monkeypatch.setenv("HYBRID_SUITES", str(suites.parent.parent))
    assert Access("127.0.0.1").suite("file:secret.tsv").endswith("/secret.tsv")
