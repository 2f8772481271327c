"""Checks against labels that were set by reading, before there were checks.

labelled_answers.jsonl: 200 answers of stored runs, drawn at random and balanced over systems, and 91 written
by hand (run "written") for what the stored ones hardly have: empty answers, answers in another language,
translations that copy. The rules that they were labelled by:

- invented number: it states a number, in digits or a word from two up, that its source states in no notation;
- repetition: a run of three words or more twice, or a word twice in a row, that a reader stumbles over;
- copy: half of a translation is the source's own words; a summary of five words or more is one stretch of
  its document, but for one word in ten, at least one;
- empty: no letter, digit or symbol; wrong language: most of it is in another one.
"""

import json
from pathlib import Path

import pytest

from hybrid.metrics import METRICS, Case, Check
from hybrid.schema import TASKS
from hybrid.schema.texts import normalized

CHECKS = {
    "invented number": "invented_numbers",
    "repetition": "repeating",
    "copy": "copies",
    "empty": "empty",
    "wrong language": "wrong_language",
}
TEXT = (Path(__file__).parent / "labelled_answers.jsonl").read_text(encoding="utf-8")
ROWS = [json.loads(line) for line in TEXT.split("\n") if line]


@pytest.mark.parametrize(("label", "name"), CHECKS.items())
def test_checks_agree_with_labels(label: str, name: str) -> None:
    both = flagged = labelled = 0
    for row in ROWS:
        task = TASKS[row["task"]]
        texts = normalized(row["answer"]), ["x."], normalized(row["source"])
        (fault,) = METRICS[name].statistics(Case(*texts, task.target_language, task.source_language))
        flagged += bool(fault)
        labelled += label in row["labels"]
        both += bool(fault) and label in row["labels"]
    assert labelled >= 10
    assert both / flagged >= 0.9
    assert both / labelled >= 0.8


def test_two_hundred_answers_are_of_stored_runs_and_balanced() -> None:
    methods = [row["system"].partition("@")[0] for row in ROWS if row["run"] != "written"]
    assert len(methods) == 200
    assert all(methods.count(method) >= 60 for method in ("llm", "slm", "hybrid"))


def test_every_check_says_what_it_catches() -> None:
    for metric in METRICS.values():
        if isinstance(metric, Check):
            assert metric.catches.endswith(".")
            assert metric.fault
