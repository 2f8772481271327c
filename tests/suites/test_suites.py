"""Names of suites, and what makes two suites the same."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

import hybrid.suites
from hybrid.errors import SuiteError
from hybrid.schema import Example, Suite
from hybrid.suites import bundled_suites, load_suite

BASE = Suite(
    "a", "summarize", "CC0-1.0",
    (Example("1", "d", "One text.", ("Short.", "Brief.")), Example("2", "d", "Another.", ("Other.",))),
)  # fmt: skip
FORMS = (
    "everyday-en-de, briefs-en, everyday-100-en-de, sacrebleu:SET/PAIR, hf:DATASET:CONFIG:SPLIT, file:PATH."
)


def altered(**changes: object) -> Suite:
    """BASE with its first example changed."""
    first, *others = BASE.examples
    return dataclasses.replace(BASE, examples=(dataclasses.replace(first, **changes), *others))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("everday-en-de", "; did you mean everyday-en-de?"),
        ("briefs", "; did you mean briefs-en?"),
        ("sacreblue:wmt20/en-de", "; did you mean sacrebleu:wmt20/en-de?"),
        ("huggingface", "."),
        ("http://a.b/c.tsv", "."),
        ("", "."),
        ("a" * 300, "."),  # longer than a file's name may be
        ("a/" * 3000, "."),
        ("a\0b", "."),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(name: str, meant: str) -> None:
    with pytest.raises(SuiteError) as caught:
        load_suite(name)
    assert str(caught.value) == f"There is no suite {name!r}{meant} Available: {FORMS}"


def test_a_file_without_its_prefix_is_recognized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my.tsv").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SuiteError, match=r"did you mean file:my\.tsv\?"):
        load_suite("my.tsv")


def test_the_same_content_has_the_same_hash() -> None:
    same = dataclasses.replace(BASE, name="b", licence="other")
    assert same.content_hash == BASE.content_hash
    assert len(BASE.content_hash) == 64


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(BASE, task="translate-en-de"),
        dataclasses.replace(BASE, examples=BASE.examples[::-1]),
        dataclasses.replace(BASE, examples=BASE.examples[:1]),
        altered(source="One text!"),
        altered(references=("Short.",)),
        altered(references=("Brief.", "Short.")),
        altered(references=("Short.Brief.",)),
        altered(id="3"),
        altered(domain="e"),
    ],
    ids=["task", "order", "length", "source", "fewer", "swapped", "joined", "id", "domain"],
)
def test_other_content_has_another_hash(other: Suite) -> None:
    assert other.content_hash != BASE.content_hash


def test_the_hash_of_a_file_does_not_depend_on_its_form(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("d\tx\ty\n", "utf-8")
    (tmp_path / "b.jsonl").write_text('{"domain": "d", "source": "x", "references": ["y"]}\n', "utf-8")
    from_tsv, from_jsonl = (
        load_suite(f"file:{tmp_path / name}", "summarize") for name in ("a.tsv", "b.jsonl")
    )
    assert from_tsv.content_hash == from_jsonl.content_hash


def test_public_names_and_a_light_import() -> None:
    assert hybrid.suites.__all__ == ["bundled_suites", "check_task", "is_bundled", "load_suite"]
    heavy = ("torch", "transformers", "pandas", "numpy", "sacrebleu", "datasets", "huggingface_hub")
    code = f"import sys, hybrid.suites; print(sorted(set({heavy}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert bundled_suites() == ("everyday-en-de", "briefs-en", "everyday-100-en-de")
