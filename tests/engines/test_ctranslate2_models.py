"""Models are converted for CTranslate2 once; a cache that is damaged or cannot be used only costs time."""

from pathlib import Path

import pytest
import torch
from transformers import PegasusXConfig, PegasusXForConditionalGeneration

from hybrid.engines.contract import EngineConfig
from hybrid.errors import EngineError
from hybrid.models.bundle import Bundle
from hybrid.schema import Sampling
from tests.bundle_source import BundleSource
from tests.loaded import encoded

ctranslate2 = pytest.importorskip("ctranslate2")

from hybrid.engines.ctranslate2_engine import create_engines  # noqa: E402

HASH = "0123456789abcdef" * 4
CONVERTING = "Converting the slm for CTranslate2"


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ctranslate2"


@pytest.fixture
def ask(tiny_bundle, cache):
    """ask(dtype): the SLM's answer from a new engine, and the sentences told while it was made."""

    def answer(dtype="float32", source=None):
        sentences: list[str] = []
        source = source or BundleSource(tiny_bundle, {"slm": HASH})
        watch = lambda event: sentences.append(event.sentence)  # noqa: E731
        config = EngineConfig(source, ("slm",), dtype=dtype, observer=watch)
        engine = create_engines(config)["slm"]
        steps = engine.generate(encoded(tiny_bundle, ["The new bridge."]), Sampling(12, ignore_eos=True))
        return [token for step in steps for ids in step.token_ids for token in ids], sentences

    return answer


def test_a_model_is_converted_once_for_each_precision(ask, cache, tiny_bundle):
    ids, sentences = ask()
    assert sentences == [CONVERTING]
    first = sorted(cache.iterdir())
    assert [folder.name for folder in first] == [f"{HASH[:32]}-float32-{ctranslate2.__version__}"]
    assert {path.name for path in first[0].iterdir()} == {
        "config.json", "model.bin", "sha256", "shared_vocabulary.json",
    }  # fmt: skip

    class Kept(BundleSource):
        def bundle(self, models):
            raise AssertionError("the weights were read again")

    assert ask(source=Kept(tiny_bundle, {"slm": HASH})) == (ids, [])
    assert ask("int8")[1] == [CONVERTING]
    assert len(list(cache.iterdir())) == 2


def test_weights_that_will_not_come_again_are_not_kept(ask, cache, tiny_bundle):
    ids, sentences = ask(source=BundleSource(tiny_bundle))
    assert sentences == [CONVERTING]
    assert not cache.exists()
    assert ids == ask()[0]


@pytest.mark.parametrize("name", ["config.json", "model.bin", "sha256", "shared_vocabulary.json"])
@pytest.mark.parametrize("harm", ["gone", "cut", "changed"])
def test_a_damaged_model_is_made_anew(ask, cache, name, harm):
    ids, _ = ask()
    (folder,) = cache.iterdir()
    path = folder / name
    content = path.read_bytes()
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if harm == "cut" else bytes([content[0] ^ 1]) + content[1:])
    assert ask() == (ids, [f"{folder} is damaged and made anew", CONVERTING])
    assert path.read_bytes() == content
    assert ask() == (ids, [])


def test_a_cache_that_cannot_be_written_is_done_without(ask, cache):
    ids, _ = ask()
    (folder,) = cache.iterdir()
    for path in (*folder.iterdir(), folder):
        path.unlink() if path.is_file() else path.rmdir()
    cache.rmdir()
    cache.write_text("a file where the folder should be")
    expected = f"{cache} cannot be used (it is not a folder); HYBRID_CACHE names another folder"
    assert ask() == (ids, [expected, CONVERTING])
    cache.unlink()
    cache.parent.rmdir()
    cache.parent.write_text("and now one further up")
    assert ask()[0] == ids


def test_another_process_may_be_faster(ask, cache, monkeypatch):
    ids, _ = ask()
    (folder,) = cache.iterdir()
    aside = cache.parent / "aside"
    folder.rename(aside)
    rename = Path.rename

    def beaten(path, target):
        rename(aside, target)
        raise OSError(39, "Directory not empty")

    monkeypatch.setattr(Path, "rename", beaten)
    assert ask() == (ids, [CONVERTING])
    monkeypatch.undo()
    monkeypatch.setenv("HYBRID_CACHE", str(cache.parent))
    assert list(cache.iterdir()) == [folder]  # nothing is left beside it
    assert ask() == (ids, [])


def test_a_model_that_it_does_not_read_is_refused(tiny_bundle, cache):
    torch.manual_seed(0)
    config = PegasusXConfig(
        vocab_size=384, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=64,
    )  # fmt: skip
    bundle = Bundle(
        "other",
        {"max_prompt_tokens": 64},
        tiny_bundle.tokenizers,
        {"slm": PegasusXForConditionalGeneration(config)},
    )
    with pytest.raises(
        EngineError, match=r"cannot convert a model of type pegasus_x \(No conversion .* --engine"
    ):
        create_engines(EngineConfig(BundleSource(bundle, {"slm": HASH}), ("slm",)))
    assert not list(cache.glob("*"))  # nothing half done is left
