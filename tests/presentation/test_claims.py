"""The claims that ship are told by the runs that ship."""

from pathlib import Path

import pytest

from hybrid.compare.claims import Claim
from hybrid.errors import InputError
from hybrid.presentation.claims import ask, claim_files, claim_rows

RESULTS = Path(__file__).parents[2] / "results"
OUTCOMES = {
    "summaries-cpu-speed": "proved",
    "summaries-h200-speed": "proved",
    "translation-cpu-quality": "open",
    "translation-cpu-speed": "proved",
    "translation-h200-speed": "proved",
    "translation-slm-quality": "refuted",
}


def test_readmes_claims() -> None:
    assert {row.name: row.outcome for row in claim_rows(RESULTS)} == OUTCOMES


def test_the_newest_run_that_has_both_systems_is_asked() -> None:
    claim = Claim(suite="everyday-en-de", at_least={"end_to_end": 1.0})
    newest = max(folder.name for folder in RESULTS.glob("*-everyday-en-de-*"))
    assert ask(claim, root=RESULTS).run_id == newest
    assert ask(claim, "20261123-1152", RESULTS).run_id == "20261123-115242-everyday-en-de-8908"
    with pytest.raises(InputError, match="no-such-suite"):
        ask(Claim(suite="no-such-suite", at_least={"end_to_end": 1.0}), root=RESULTS)


def test_a_folder_without_claims(tmp_path: Path) -> None:
    assert claim_files(tmp_path) == []
    assert list(claim_rows(tmp_path / "none")) == []
