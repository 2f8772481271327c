"""A suite and a pair agree on a task, or a sentence says why not."""

import pytest

from hybrid.errors import SuiteError
from hybrid.schema import TASKS, Example, Suite
from hybrid.suites import check_task, required_task, stated_task, task_of_languages

SUITE = Suite("briefs-en", "summarize", "CC0-1.0", (Example("1", "d", "s", ("r",)),))


def test_a_pair_does_the_suites_task() -> None:
    check_task(SUITE, TASKS, "tiny")
    with pytest.raises(SuiteError) as caught:
        check_task(SUITE, {"translate-en-de": TASKS["translate-en-de"]}, "tiny")
    assert str(caught.value) == (
        "The suite briefs-en is for summarize (en), but the pair tiny is for translate-en-de (en to de); "
        "choose another suite or pair."
    )
    with pytest.raises(SuiteError, match="tiny is for no task"):
        check_task(SUITE, {}, "tiny")


def test_a_task_is_asked_for_or_stated() -> None:
    assert required_task("file:a.tsv", "summarize") == "summarize"
    assert stated_task("x", "summarize", None) == stated_task("x", "summarize", "summarize") == "summarize"
    with pytest.raises(SuiteError, match=r"x is for summarize \(en\), not for translate-en-de \(en to de\)"):
        stated_task("x", "summarize", "translate-en-de")
    with pytest.raises(SuiteError, match="no task 'a poem'; available: translate-en-de, summarize"):
        stated_task("x", "summarize", "a poem")


def test_languages_have_a_task() -> None:
    assert task_of_languages("x", "en", "de") == "translate-en-de"
    assert task_of_languages("x", "de", "kab") == "translate-de-kab"
    for source, target in (("en", "en"), ("ende", ""), ("e", "n"), ("en/..", "de")):
        with pytest.raises(SuiteError, match=f"no task translates {source} to {target}; name two languages"):
            task_of_languages("x", source, target)
