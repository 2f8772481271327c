"""Whatever bytes a pair's files of JSON are, the pair is read, or refused in one sentence."""

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybrid.errors import HybridError
from hybrid.models.bundle import load_bundle
from hybrid.models.manifest import available_pairs, models_of_pair, one_tokenizer, tasks_of, write_manifest
from tests.fuzz.mutations import mutations
from tests.models.two_tokenizers import save_any_pair

FEW, MANY = 25, int(os.environ.get("FUZZ", 2000))
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
FILES = ("pair.json", "hybrid/config.json", "llm/config.json", "slm/tokenizer.json")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zoo") / "any"
    save_any_pair(folder, layer=1)
    return folder


@pytest.fixture
def pair(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "zoo" / "any"))


def sound(error: Exception) -> None:
    sentence = str(error)
    sentence.encode()
    assert sentence.isprintable()
    assert len(sentence) < 1000


def _one(data: st.DataObject, whole: Path, pair: Path) -> None:
    name = data.draw(st.sampled_from(FILES))
    (pair / name).write_bytes(data.draw(mutations((whole / name).read_bytes(), lines=False)))
    if name != "pair.json":  # one who damages a file can put its hash right
        write_manifest(pair, json.loads((whole / "pair.json").read_bytes()))
    try:
        (manifest,) = available_pairs(pair.parent).values()
        assert all(task.label for task in tasks_of(manifest).values())
        assert isinstance(one_tokenizer(manifest), bool)
        bundle = load_bundle("any", pair.parent, models=[m for m in models_of_pair(manifest) if m != "llm"])
        for method in ("llm", "slm", "hybrid"):
            codec = bundle.codec(method)
            task = next(iter(codec.tasks))
            (prompt,) = codec.encode(task, ["the old house </s> <|im_end|>"], truncate=True)
            assert len(prompt.token_ids) <= codec.max_prompt_tokens
            codec.decode(prompt.token_ids[:1])
    except HybridError as error:
        sound(error)
    for file in FILES:
        shutil.copyfile(whole / file, pair / file)
    shutil.copyfile(whole / "pair.json", pair / "pair.json")


@given(data=st.data())
@settings(max_examples=FEW, deadline=None, derandomize=True, database=None, suppress_health_check=QUIET)
def test_a_pair_with_one_thing_wrong(data: st.DataObject, whole: Path, pair: Path) -> None:
    _one(data, whole, pair)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@given(data=st.data())
@settings(max_examples=MANY, deadline=None, database=None, suppress_health_check=QUIET)
def test_thousands_of_pairs(data: st.DataObject, whole: Path, pair: Path) -> None:
    _one(data, whole, pair)
