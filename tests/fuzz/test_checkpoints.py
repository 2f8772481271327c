"""Whatever bytes a model's files are, it is loaded or refused in one sentence."""

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybrid.errors import PairError
from hybrid.models.references import gguf_file, load_model, resolve
from tests.fuzz.mutations import mutations
from tests.models.references.conftest import tiny_llama
from tests.models.references.test_gguf_file import Q, write

FEW, MANY = 25, int(os.environ.get("FUZZ", 2000))
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
WEIGHTS, GGUF = "model.safetensors", "model.gguf"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer_file: Path) -> Path:
    """A sound model, as a folder and as a GGUF file in it."""
    folder = tmp_path_factory.mktemp("checkpoint")
    model = tiny_llama(num_hidden_layers=1)
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes(tiny_tokenizer_file.read_bytes())
    special = {"eos_token": {"content": "</s>"}, "pad_token": "<pad>"}
    template = [{"name": "default", "template": "{{ messages }}"}]
    for name, content in (
        ("tokenizer_config.json", special | {"chat_template": template}),
        ("special_tokens_map.json", special),
    ):
        (folder / name).write_text(json.dumps(content))
    write(folder / GGUF, model, Q.F16, tiny_tokenizer_file)
    return folder


@pytest.fixture(scope="module")
def whole(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "tokenizer.json"}


def sentence(reference: Path) -> str:
    """Say why a model is refused; nothing when it is loaded."""
    try:
        load_model(resolve(str(reference)))
    except PairError as error:
        return str(error)
    return ""


def _one(data: st.DataObject, folder: Path, whole: dict[str, bytes]) -> None:
    name = data.draw(st.sampled_from(sorted(whole)))
    path = folder / name
    if name == WEIGHTS:
        length = int.from_bytes(whole[name][:8], "little")
        header = data.draw(mutations(whole[name][8 : 8 + length], lines=False))
        changed = len(header).to_bytes(8, "little") + header + whole[name][8 + length :]
    elif name == GGUF:
        end = whole[name].index(b"blk.0") + 2000
        place, byte = data.draw(st.integers(0, end)), data.draw(st.integers(0, 255))
        changed = whole[name][:place] + bytes([byte]) + whole[name][place + 1 :]
    else:
        changed = data.draw(mutations(whole[name], lines=False))
    path.write_bytes(changed)
    try:
        if name == GGUF:
            with suppress(PairError):
                gguf_file._config(gguf_file.read_header(path), path)
        else:
            why = sentence(folder)
            assert "\n" not in why
            assert len(why.encode()) < 2000
    finally:
        path.write_bytes(whole[name])


@given(data=st.data())
@settings(max_examples=FEW, deadline=None, derandomize=True, database=None, suppress_health_check=QUIET)
def test_a_model_with_one_thing_wrong(data: st.DataObject, folder: Path, whole: dict[str, bytes]) -> None:
    _one(data, folder, whole)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@given(data=st.data())
@settings(max_examples=MANY, deadline=None, database=None, suppress_health_check=QUIET)
def test_thousands_of_models(data: st.DataObject, folder: Path, whole: dict[str, bytes]) -> None:
    _one(data, folder, whole)
