"""The cards of a trained pair: what its manifest knows, a licence where the recipe states one, no more."""

import dataclasses
import json
from pathlib import Path

import pytest

from hybrid.errors import RecipeError
from hybrid.models.pair_summary import licences
from hybrid.models.references.folder import read_pair_model
from hybrid.models.writing import GENERATED
from hybrid.schema import silent
from hybrid.training.export import export
from hybrid.training.recipe import Recipe, load_recipe
from hybrid.training.train import train
from tests.training.any_pair import write_recipe

HEADINGS = ["## Base and licence", "## Data", "## Recipe", "## Files", "## Limits of this comparison"]


def card(folder: Path) -> str:
    return (folder / "README.md").read_text("utf-8")


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HYBRID_ZOO", str(tmp_path))
    return tmp_path


def exported(finished, folder: Path, **changes: str) -> Path:
    export(dataclasses.replace(finished[0], **changes), folder)
    return folder


def test_training_leaves_a_card_of_the_pair_and_of_each_model(finished) -> None:
    folder = finished[0].out / "bundle" / "tiny"
    manifest = json.loads((folder / "pair.json").read_bytes())
    text = card(folder)
    assert [line for line in text.splitlines() if line.startswith("## ")] == HEADINGS
    for count in manifest["parameters"].values():
        assert f"| {count:,} |" in text
    for name, digest in manifest["sha256"].items():
        assert f"| `{name}` | {(folder / name).stat().st_size:,} | {digest} |" in text
    assert "| train.tsv | `translate-en-de` | made | 150 | 1.00 |" in text  # what is unusable is not counted
    assert "| train.jsonl | `summarize` | made | 60 | 1.00 |" in text
    assert str(folder.parent) not in text
    history = manifest["about"]["stages"]["hybrid"]
    loss = history["dev_losses_nats_per_token"]
    row = next(line for line in text.splitlines() if line.startswith("| third |"))
    assert row.split(" | ")[1:5] == ["`second`", "20", "512", "cpu"]
    assert row.endswith(f"| {loss['cross_entropy']:.3f} | {loss['kl']:.3f} |")
    assert "differ in more than the LLM's latent: in kl_weight, start, teacher and updates" in text
    for model, heading in (("llm", "# LLM of"), ("slm", "# SLM of"), ("hybrid", "# Hybrid of")):
        assert f"{heading} tiny" in card(folder / model)
    assert "32 wide, feed-forward of 64, 2 heads of 16, 2 encoder and 2 decoder layers" in card(
        folder / "llm"
    )


def test_the_logs_of_training_lie_beside_the_cards(finished) -> None:
    recipe = finished[0]
    folder = recipe.out / "bundle" / "tiny"
    logs = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.jsonl")}
    assert logs == {
        name: (recipe.out / stage / "log.jsonl").read_bytes()
        for name, stage in (
            ("llm/training.jsonl", "first"),
            ("slm/training.jsonl", "second"),
            ("hybrid/training.jsonl", "third"),
            ("hybrid/training-second.jsonl", "second"),
        )
    }


def test_what_nobody_states_is_not_stated(finished, zoo: Path) -> None:
    text = card(exported(finished, zoo / "tiny"))
    assert "license:" not in text
    assert "Licence of the weights that were trained: not stated by the recipe." in text
    assert licences("tiny") == "licence not stated"


def test_the_licence_of_the_recipe_is_the_pairs_and_its_models(finished, zoo: Path) -> None:
    folder = exported(finished, zoo / "tiny", licence="Apache-2.0")
    assert card(folder).startswith("---\nlicense: Apache-2.0\nlanguage: [en, de]\n---\n")
    assert licences("tiny") == "licence Apache-2.0"
    assert read_pair_model("tiny", "slm", silent).licence == "Apache-2.0"
    (folder / "README.md").unlink()
    assert licences("tiny") == "licence Apache-2.0"  # pair.json knows it, too


def test_a_card_that_somebody_has_taken_over_stays(finished, zoo: Path) -> None:
    folder = exported(finished, zoo / "tiny")
    own = card(folder).replace(GENERATED, "").replace("# tiny", "# My pair")
    (folder / "README.md").write_text(own, "utf-8")
    (folder / "slm" / "README.md").write_text(GENERATED, "utf-8")
    exported(finished, folder)
    assert card(folder) == own
    assert "# SLM of tiny" in card(folder / "slm")


def test_data_of_an_earlier_version_have_no_rows(finished, tmp_path: Path) -> None:
    sources = finished[0].out / "data" / "train-sources.json"
    content = sources.read_bytes()
    try:
        sources.unlink()
        text = card(exported(finished, tmp_path / "tiny"))
    finally:
        sources.write_bytes(content)
    assert "210 examples with" in text
    assert "train.tsv" not in text


def test_bases_are_named_with_what_pins_them(trained_pair, tmp_path: Path) -> None:
    recipe: Recipe = trained_pair[0]
    export(dataclasses.replace(recipe, licence="mit"), tmp_path / "any")
    manifest = json.loads((tmp_path / "any" / "pair.json").read_bytes())
    base = manifest["about"]["bases"]["llm"]
    text = card(tmp_path / "any")
    assert f"Base of the LLM: {recipe.llm.reference}, licence not stated." in text
    for name, digest in base["sha256"].items():
        assert f"| `{name}` | {digest} |" in text
    assert "| train.tsv | `translate-en-de` | made | 100 | 2.00 |" in text
    assert r"| `shorten` | en | `Text: ` | `\nShort:` |" in text
    assert "SLM and hybrid had the same start, data, updates and settings" in text
    assert "(fusion add, layer [1, 3], standardize True)" in card(tmp_path / "any" / "hybrid")


def test_a_reader_that_was_not_trained_keeps_its_own_licence(tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    (tmp_path / "llm" / "README.md").write_text("---\nlicense: mit\n---\n", "utf-8")
    text, stages = path.read_text("utf-8"), '[[stages]]\nname = "'
    before, llm, rest = text.partition(f'{stages}llm"')
    after = rest.partition(stages)[2].replace('answers_of = "llm"\nanswers = 16\n', "")
    after = after.replace('reads_with = "llm"', 'reads_with = "pretrained"')
    after = after.replace('llm = "llm"', 'llm = "pretrained"').replace("steps = 10", "steps = 1")
    assert llm
    path.write_text('licence = "apache-2.0"\n' + before + stages + after, "utf-8")
    recipe = load_recipe(path)
    *_, bundle = train(recipe)
    folder = Path(str(bundle.values["folder"]))
    assert card(folder).startswith("---\nlicense: apache-2.0\n")
    assert card(folder / "llm").startswith("---\nlicense: mit\n")
    assert f"It is {recipe.llm.reference}, untrained here." in card(folder / "llm")
    assert "Its weights are not in this folder" in card(folder / "llm")
    assert card(folder / "slm").startswith("---\nlicense: apache-2.0\n")


@pytest.mark.parametrize("licence", ["two words", "a\nb", "-x", "x" * 101])
def test_a_licence_is_an_identifier(finished, licence: str) -> None:
    with pytest.raises(ValueError, match=r"licence is .*; give an SPDX identifier such as apache-2.0"):
        dataclasses.replace(finished[0], licence=licence)


def test_a_licence_that_is_none_is_said_with_the_recipe(recipe_file, tmp_path: Path) -> None:
    path = recipe_file(tmp_path)
    path.write_text('licence = "see README"\n' + path.read_text("utf-8"), "utf-8")
    with pytest.raises(RecipeError, match=r"recipe\.toml: licence is 'see README'"):
        load_recipe(path)
