"""Where engines get a pair from: read when needed, and held only as long as somebody does."""

import gc
from pathlib import Path

import pytest

from hybrid.errors import PairError
from hybrid.models.sources import ZooSource, models_of
from hybrid.schema import Event, Status
from tests.bundle_source import BundleSource


@pytest.fixture
def source(tiny_zoo: Path) -> ZooSource:
    return ZooSource("tiny", tiny_zoo)


def test_a_pair_is_known_before_anything_is_read(tiny_zoo: Path):
    events: list[Event] = []
    source = ZooSource(None, tiny_zoo, events.append)
    assert (source.name, source.max_prompt_tokens, events) == ("tiny", 160, [])
    assert source.codec("llm").encode("summarize", ["Das Haus."])
    assert source.bundle(["slm"]).models.keys() == {"slm"}
    parts = ("tokenizer", "tokenizer", "SLM")
    assert events == [Status(sentence=f"Reading the {part}") for part in parts]


def test_models_are_read_once_while_somebody_holds_them(source: ZooSource):
    held = source.bundle(["llm", "slm"])
    assert source.bundle(["slm"]) is held
    assert source.codec("slm").writer is held.tokenizers["slm"]
    more = source.bundle(["hybrid"])
    assert more is not held
    assert source.bundle(["hybrid"]) is more


def test_models_nobody_holds_are_let_go(source: ZooSource):
    def of_models() -> int:
        return sum(type(thing).__name__ == "T5ForConditionalGeneration" for thing in gc.get_objects())

    gc.collect()
    before = of_models()
    held = source.bundle(["llm"])
    assert of_models() == before + 1
    del held
    gc.collect()
    assert of_models() == before


def test_the_hash_is_of_all_that_a_model_is_made_of(source: ZooSource, tiny_zoo: Path):
    hashes = {model: source.weights_sha256(model) for model in ("llm", "slm", "hybrid")}
    assert len(set(hashes.values())) == 3
    assert hashes == {model: ZooSource("tiny", tiny_zoo).weights_sha256(model) for model in hashes}
    source.manifest["sha256"]["llm/model.safetensors"] = "0" * 64
    changed = {model for model, known in hashes.items() if source.weights_sha256(model) != known}
    assert changed == {"llm", "hybrid"}  # which reads with the LLM's encoder


def test_models_in_memory(tiny_bundle):
    source = BundleSource(tiny_bundle, {"llm": "ab"})
    assert source.bundle(["llm", "hybrid"]) is tiny_bundle
    assert source.codec("llm").reader is tiny_bundle.tokenizers["llm"]
    assert (source.weights_sha256("llm"), source.weights_sha256("slm")) == ("ab", None)


def test_models_that_were_not_given_are_named(tiny_zoo: Path):
    from hybrid.models.bundle import load_bundle

    source = BundleSource(load_bundle("tiny", tiny_zoo, models=["slm"]))
    with pytest.raises(KeyError, match="the pair tiny was given without llm, hybrid"):
        source.bundle(["llm", "slm", "hybrid"])


def test_a_pair_that_is_not_there(tiny_zoo: Path):
    with pytest.raises(PairError, match="There is no pair 'huge'; available: tiny"):
        ZooSource("huge", tiny_zoo)


def test_methods_need_each_model_once():
    assert models_of(["lossless", "llm", "lossless-slm"]) == ("llm", "hybrid", "slm")
