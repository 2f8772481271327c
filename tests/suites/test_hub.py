"""Data sets of the Hub: the mapping on real `datasets` rows; the network is replaced by what it answers."""

import sys
from types import SimpleNamespace

import pytest

from hybrid.errors import SuiteError
from hybrid.schema import Example
from hybrid.suites import hub, load_suite

NAME = "hf:someone/some-set:de-en:test"
ROWS = [
    {"translation": {"de": "Hallo.", "en": "Hello."}, "n": 5, "many": ["Hallo.", "Guten Tag."]},
    {"translation": {"de": "Ja \x92 nein.", "en": "Yes \x92 no."}, "n": 6, "many": ["Ja."]},
]
COLUMNS = {"source": "translation.en", "reference": "translation.de"}
OFFLINE = "these need no network: everyday-en-de, briefs-en, everyday-100-en-de, file:PATH."


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch):
    """Makes the Hub answer with rows (or raise them) and with a card; the calls that were made."""
    datasets = pytest.importorskip("datasets")
    calls: list[tuple[object, ...]] = []

    def put(rows: list[dict[str, object]] | Exception, card: object = None, streamed: bool = True):
        def load(path: str, name: str | None, *, split: str, streaming: bool) -> object:
            calls.append((path, name, split, streaming))
            if isinstance(rows, Exception):
                raise rows
            dataset = datasets.Dataset.from_list(rows)
            return dataset.to_iterable_dataset() if streamed else dataset

        def info(_self: object, dataset: str, timeout: float) -> object:
            if isinstance(card, Exception):
                raise card
            assert (dataset, timeout) == (calls_for, hub.TIMEOUT_S)
            return SimpleNamespace(card_data=card)

        calls_for = "someone/some-set"
        monkeypatch.setattr(datasets, "load_dataset", load)
        monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", info)
        return calls

    return put


def refusal(
    name: str = NAME, columns: dict[str, str] | None = None, task: str | None = "translate-en-de"
) -> str:
    with pytest.raises(SuiteError) as caught:
        load_suite(name, task, columns)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("streamed", [True, False])
def test_nested_columns(answer, streamed: bool) -> None:
    calls = answer(ROWS, {"license": "cc-by-4.0"}, streamed)
    suite = load_suite(NAME, "translate-en-de", COLUMNS)
    assert suite.examples == (
        Example("0", "all", "Hello.", ("Hallo.",)),
        Example("1", "all", "Yes   no.", ("Ja   nein.",)),  # control characters are no one's to mend here
    )
    assert (suite.name, suite.task, suite.licence) == (NAME, "translate-en-de", "cc-by-4.0")
    assert calls == [("someone/some-set", "de-en", "test", True)]


def test_lists_of_references_ids_and_domains(answer) -> None:
    answer(ROWS)
    columns = {"source": "translation.en", "reference": "many", "id": "n", "domain": "n"}
    assert load_suite(NAME, "translate-en-de", columns).examples[0] == (
        Example("5", "5", "Hello.", ("Hallo.", "Guten Tag."))
    )


def test_the_first_rows_and_the_default_configuration(answer) -> None:
    calls = answer(ROWS)
    suite = load_suite("hf:someone/some-set::test[:1]", "translate-en-de", COLUMNS)
    assert len(suite.examples) == 1
    assert calls == [("someone/some-set", None, "test", True)]


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        (None, "see https://huggingface.co/datasets/someone/some-set"),
        ({"pretty_name": "x"}, "see https://huggingface.co/datasets/someone/some-set"),
        ({"license": ["mit", "cc0-1.0"]}, "mit, cc0-1.0"),
    ],
)
def test_the_licence_is_the_cards(answer, card: object, licence: str) -> None:
    answer(ROWS, card)
    assert load_suite(NAME, "translate-en-de", COLUMNS).licence == licence


def test_wrong_columns_name_the_row_and_what_there_is(answer) -> None:
    answer(ROWS)
    available = "available: many, n, translation.de, translation.en."
    assert refusal() == f"{NAME}, row 0: there is no column 'reference'; {available}"
    assert f"row 0: there is no column 'translation.fr'; {available}" in refusal(
        columns=COLUMNS | {"reference": "translation.fr"}
    )
    assert "no 'target' to take from a column" in refusal(columns={"target": "x"})


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({"source": "", "reference": "b"}, "row 1: the source is empty"),
        ({"source": "a", "reference": " "}, "row 1: the reference is empty"),
        ({"source": None, "reference": "b"}, "row 1: the column 'source' is not a text but empty (null)"),
    ],
)
def test_wrong_rows_are_named(answer, row: dict[str, object], error: str) -> None:
    answer([{"source": "a", "reference": "b"}, row])
    assert f"{NAME}, {error}" in refusal()


def test_empty_and_endless_splits(answer, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"source": "a", "reference": "b"}] * 4
    answer(rows)
    assert refusal("hf:someone/some-set::test[:0]") == (
        "hf:someone/some-set::test[:0] is empty; a suite has at least one example."
    )
    monkeypatch.setattr(hub, "MAX_EXAMPLES", 3)
    assert refusal() == f"{NAME} has more than 3 rows; take the first N of them with test[:N]."
    assert len(load_suite("hf:someone/some-set::test[:3]", "summarize").examples) == 3


@pytest.mark.parametrize("name", ["hf:", "hf:a", "hf:a/b:c", "hf:a/b:c:", "hf::c:test", "hf:a/b::test[1:2]"])
def test_wrong_names(name: str) -> None:
    assert f"{name} is not a name like hf:DATASET:CONFIG:SPLIT;" in refusal(name)


def test_a_task_is_needed() -> None:
    error = "does not say its task; choose one (--task): translate-en-de, summarize, or one of a pair's own."
    assert refusal(task=None) == f"{NAME} {error}"


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert refusal() == f"{NAME} needs the package datasets: pip install 'hybrid-bench[hub]'."


def test_without_a_network(answer) -> None:
    class ConnectError(Exception):
        """As the HTTP client raises it: of no class of Python's own."""

    answer(ROWS, ConnectError("[Errno -2] Name or service not known"))
    assert refusal() == f"The suite {NAME} cannot be fetched (Name or service not known); {OFFLINE}"
    answer(ROWS, TimeoutError())
    assert "cannot be fetched (TimeoutError)" in refusal()


def test_a_hub_that_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real client: conftest sets HF_HUB_OFFLINE for all tests."""
    pytest.importorskip("datasets")
    message = refusal()
    assert "offline mode is enabled" in message
    assert message.endswith(OFFLINE)


def test_names_that_the_hub_does_not_have(answer) -> None:
    from huggingface_hub.errors import HFValidationError

    answer(ROWS, HFValidationError("Repo id must use alphanumeric chars"))
    assert "The Hub has no data set 'someone/some-set', or keeps it private" in refusal()


def test_gated_sets(answer) -> None:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    reply = SimpleNamespace(headers={}, request=None, status_code=401)
    answer(ROWS, GatedRepoError("gated", response=reply))
    assert "ask at https://huggingface.co/datasets/someone/some-set and run `hf auth login`" in refusal()
    answer(ROWS, RepositoryNotFoundError("not found", response=reply))
    assert "The Hub has no data set" in refusal()


def test_what_the_library_says_is_passed_on(answer) -> None:
    answer(ValueError("Unknown split 'test'. Should be one of ['train'].\nmore"))
    assert refusal() == f"{NAME} cannot be read: Unknown split 'test'. Should be one of ['train']."
    answer(RuntimeError())
    assert refusal() == f"{NAME} cannot be read: RuntimeError."
