"""A pair of two ids of the Hub: named, downloaded once, run without a network ever after."""

import json
from pathlib import Path

import pytest

from hybrid import add_pair, load_bundle, remove_pair
from hybrid.errors import PairError
from hybrid.models.manifest import find_pair
from hybrid.models.pair_summary import how_to_train, licences
from hybrid.models.references import resolve
from hybrid.models.sources import ZooSource
from hybrid.schema import Event, Notice
from tests.models.references.conftest import NAME, Make, tiny_llama
from tests.models.references.fake_hub import COMMIT, FakeHub


@pytest.fixture(autouse=True)
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HYBRID_ZOO", str(tmp_path / "zoo"))
    return tmp_path / "zoo"


@pytest.fixture
def small(hub: FakeHub, save: Make) -> str:
    """Another model of the Hub."""
    hub.models["someone/small"] = save(tiny_llama(num_hidden_layers=1), "small")
    return "hub:someone/small@v1"


def test_a_pair_of_two_ids(hub: FakeHub, small: str, zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Event] = []
    folder = add_pair("mine", NAME, small, observer=events.append)
    assert [event.sentence.partition(",")[0] for event in events if isinstance(event, Notice)] == [
        f"hub:{NAME}", "hub:someone/small@v1"
    ]  # fmt: skip
    manifest = json.loads((folder / "pair.json").read_text())
    assert manifest["llm"]["reference"] == f"hub:{NAME}"
    assert manifest["slm"] | {"files": {}} == {
        "reference": "hub:someone/small", "revision": COMMIT, "files": {}
    }  # fmt: skip
    assert licences("mine") == "licence apache-2.0"
    assert f'[llm] from = "hub:{NAME}@{COMMIT}"' in how_to_train("mine", manifest)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # a commit needs no network
    bundle = load_bundle("mine")
    assert {name: model.config.num_hidden_layers for name, model in bundle.models.items()} == {
        "llm": 2, "slm": 1
    }  # fmt: skip
    assert ZooSource("mine").weights_sha256("llm") != ZooSource("mine").weights_sha256("slm")
    assert remove_pair("mine") == folder
    assert list(zoo.iterdir()) == []


def test_a_model_that_is_not_open_leaves_no_pair(hub: FakeHub, small: str, zoo: Path) -> None:
    hub.models["someone/gated"] = hub.models[NAME]
    hub.gated.add("someone/gated")
    with pytest.raises(PairError, match="open only to those who were granted access"):
        add_pair("mine", small, "someone/gated")
    assert not zoo.exists()


def test_a_folder_that_cannot_be_written(hub: FakeHub, small: str, zoo: Path) -> None:
    zoo.write_text("no folder")
    with pytest.raises(PairError, match="zoo/mine cannot be written"):
        add_pair("mine", small, small)


def test_a_model_that_is_gone_is_said_so(llama: Path, zoo: Path) -> None:
    add_pair("mine", str(llama), str(llama))
    assert find_pair("mine")[1]["max_prompt_tokens"] == 128
    llama.rename(llama.with_name("elsewhere"))
    with pytest.raises(PairError, match=f"There is no model '{llama}'"):
        load_bundle("mine")


def test_a_pairs_model_that_is_not_here_is_no_model_of_the_hub(
    hub: FakeHub, llama: Path, zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pair that was trained over another pair's model, and came to a machine alone."""
    add_pair("mine", str(llama), str(llama))
    folder = add_pair("other", str(llama), str(llama))
    manifest = json.loads((folder / "pair.json").read_text())
    manifest["llm"]["reference"] = "mine/llm"
    (folder / "pair.json").write_text(json.dumps(manifest))
    assert set(load_bundle("other").models) == {"llm", "slm"}
    remove_pair("mine")
    hub.requests.clear()
    with pytest.raises(PairError) as refusal:
        load_bundle("other")
    assert str(refusal.value).startswith(
        f"The llm of other lies elsewhere: There is no model mine/llm: {zoo} has no pair 'mine'; "
    )
    with pytest.raises(
        PairError, match=r"There is no model mine/slm: .* and hub:mine/slm would be a model of"
    ):
        resolve("mine/slm")
    assert not hub.requests


def test_a_pairs_model_is_not_sought_elsewhere_where_the_pair_is_damaged(llama: Path, zoo: Path) -> None:
    folder = add_pair("mine", str(llama), str(llama))
    (folder / "pair.json").write_text("{")
    with pytest.raises(PairError, match=r"mine/pair\.json is damaged"):
        resolve("mine/llm")


def test_a_pair_that_refers_to_itself(llama: Path, zoo: Path) -> None:
    """As a hostile hand may write it: there is no circle to run in."""
    folder = add_pair("mine", str(llama), str(llama))
    assert resolve("mine/slm").reference == str(llama)
    manifest = json.loads((folder / "pair.json").read_text())
    for reference in ("mine/llm", "mine/slm", "mine"):
        (folder / "pair.json").write_text(json.dumps(manifest | {"llm": {"reference": reference}}))
        with pytest.raises(PairError, match=f"The llm of mine refers to {reference}, which itself only"):
            resolve("mine/llm")
    with pytest.raises(PairError, match="which itself only refers to a model"):
        load_bundle("mine", models=["llm"])
