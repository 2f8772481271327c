"""Quality of pairs with two tokenizers and decoder-only models: batches answer as each prompt alone."""

from pathlib import Path

import pytest
import torch

from hybrid.errors import EngineError
from hybrid.models.bundle import Bundle, load_bundle
from hybrid.training.evaluate import CONTROLS, quality, read_tables
from tests.models.two_tokenizers import OWN, save_any_pair

SOURCES = [
    "Das alte Haus.",
    "Ein Baum am Fluss, sehr alt und groß.",
    "Ja.",
    "Viele Leute wohnen dort seit Jahren.",
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("zoo")
    save_any_pair(folder / "any", layer=1)
    return load_bundle("any", folder)


def test_answers_beyond_the_models_positions_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    table = tmp_path / "a.tsv"
    table.write_text("source\treference\nDas alte Haus.\tOui.\n", "utf-8")
    with pytest.raises(EngineError, match=r"llama has positions for 256 tokens; .* would take \d+\. Give"):
        list(
            quality(bundle, read_tables([table]), bundle.codec("llm").tasks[OWN], ["llm"], max_new_tokens=256)
        )


@torch.inference_mode()
def alone(bundle: Bundle, model, text: str) -> str:
    codec = bundle.codec(model)
    (prompt,) = codec.encode(OWN, [text])
    ids = torch.tensor([prompt.token_ids])
    written = bundle.model(model).generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=7, do_sample=False, num_beams=1,
        eos_token_id=codec.eos_id, pad_token_id=codec.pad_id,
    )  # fmt: skip
    return codec.decode(written[0, 0 if model == "hybrid" else ids.shape[1] :].tolist())


def test_a_batch_answers_as_each_alone(bundle: Bundle, tmp_path: Path) -> None:
    table = tmp_path / "a.tsv"
    table.write_text("source\treference\n" + "".join(f"{text}\tOui.\n" for text in SOURCES), "utf-8")
    task = bundle.codec("llm").tasks[OWN]
    rows = list(
        quality(
            bundle, read_tables([table]), task, ["llm", "slm", "hybrid"], ["mismatched"], max_new_tokens=7
        )
    )
    assert [row.system for row in rows] == ["llm", "slm", "hybrid", CONTROLS["mismatched"]]
    for row in rows[:3]:
        assert list(row.outputs) == [alone(bundle, row.system, text) for text in SOURCES]
        assert row.score.metric == "bleu"
    assert rows[2].outputs != rows[3].outputs
    assert len(set(rows[0].outputs)) > 1
