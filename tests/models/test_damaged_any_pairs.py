"""Pairs of format 2 that are damaged, or somebody's trap: one sentence each that names file and value."""

import json
import shutil
from pathlib import Path

import pytest

from hybrid.errors import PairError
from hybrid.models.bundle import load_bundle
from hybrid.models.manifest import read_manifest, write_manifest
from tests.models.damage import Damage, settings
from tests.models.two_tokenizers import OWN, save_any_pair

ESCAPES = "\x1b[2J\x9b31m"
PROMPT = f"prompts__llm__{OWN}__before"
HYB = "hybrid/config.json"
EMPTY = {"label": "x", "source_language": "", "target_language": ""}
FILES = {"reference": "org/name", "files": {}}

MANIFESTS: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "tasks: a list": (settings("pair.json", tasks=[OWN]), ("tasks",)),
    "tasks: none": (settings("pair.json", tasks={}), ("tasks",)),
    "tasks: a path": (settings("pair.json", **{"tasks__../up": {"label": "x"}}), ("tasks",)),
    "tasks: a path in full": (
        settings("pair.json", **{"tasks__../up": EMPTY}),
        ("'../up'", "no name"),
    ),
    "tasks: languages that the name does not say": (
        settings("pair.json", **{f"tasks__{OWN}__target_language": "pt"}),
        (f"'{OWN}'", "translate-de-pt"),
    ),
    "tasks: a label that steers": (
        settings("pair.json", **{f"tasks__{OWN}__label": f"x{ESCAPES}"}),
        (r"x\x1b[2J\x9b31m",),
    ),
    "tasks: words that steer": (
        settings("pair.json", **{f"tasks__{OWN}__prefix": f"x{ESCAPES}"}),
        (r"x\x1b[2J\x9b31m",),
    ),
    "tasks: words of a novel": (
        settings("pair.json", **{f"tasks__{OWN}__prefix": "x" * 100_000}),
        ("prefix", "16384"),
    ),
    "tasks: lines of no truth": (settings("pair.json", **{f"tasks__{OWN}__lines": 1}), ("lines",)),
    "prompts: none of a model": (settings("pair.json", prompts__slm=None), ("prompts", "slm")),
    "prompts: none of a task": (settings("pair.json", **{f"prompts__llm__{OWN}": None}), ("llm", f"'{OWN}'")),
    "prompts: of an unknown task": (settings("pair.json", prompts__llm__more={}), ("llm", "'more'")),
    "prompts: of an unknown model": (settings("pair.json", prompts__third={}), ("third",)),
    "prompts: no text": (settings("pair.json", **{PROMPT: ["a"]}), ("before",)),
    "prompts: a NUL": (settings("pair.json", **{PROMPT: "a\x00"}), ("control characters",)),
    "prompts: half a character": (settings("pair.json", **{PROMPT: "\ud800"}), ("control characters",)),
    "prompts: a novel": (settings("pair.json", **{PROMPT: "x" * 100_000}), ("before", "16384")),
    "tokenizers: none of a model": (settings("pair.json", tokenizers__slm=None), ("tokenizers", "slm")),
    "tokenizers: elsewhere": (
        settings("pair.json", tokenizers__llm__file="../../other/tokenizer.json"),
        ("'../../other/tokenizer.json'", "inside the pair's folder"),
    ),
    "tokenizers: an absolute file": (settings("pair.json", tokenizers__llm__file="/etc/x"), ("'/etc/x'",)),
    "tokenizers: no end": (settings("pair.json", tokenizers__slm__eos=""), ("eos",)),
    "tokenizers: an end of no text": (settings("pair.json", tokenizers__slm__eos=3), ("eos",)),
    "tokenizers: an end that is no id": (
        settings("pair.json", tokenizers__slm__more_eos_ids=[-1]),
        ("more_eos_ids",),
    ),
    "tokenizers: a hundred ends and more": (
        settings("pair.json", tokenizers__slm__more_eos_ids=list(range(101))),
        ("more_eos_ids",),
    ),
    "parameters: none": (settings("pair.json", parameters=None), ("parameters",)),
    "parameters: a negative number": (settings("pair.json", parameters__hybrid=-1), ("parameters.hybrid",)),
    "reference: empty": (settings("pair.json", llm={"reference": ""}), ("reference",)),
    "reference: of no text": (settings("pair.json", llm={"reference": 7}), ("reference",)),
    "reference: one that steers": (
        settings("pair.json", llm={"reference": f"a/b{ESCAPES}"}),
        (r"a/b\x1b[2J\x9b31m",),
    ),
    "reference: a file elsewhere": (
        settings("pair.json", llm=FILES | {"files": {"../x": "0" * 64}}),
        ("'../x'", "inside the pair's folder"),
    ),
    "reference: a hash that is none": (
        settings("pair.json", slm=FILES | {"files": {"model.safetensors": "ab"}}),
        ("'ab'",),
    ),
    "format: a truth value": (settings("pair.json", format=True), ("format True",)),
    "format: a fraction": (settings("pair.json", format=2.0), ("format 2.0",)),
}  # fmt: skip

FOLDERS: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "a tokenizer without the end of its answers": (
        settings("pair.json", tokenizers__slm__eos="<|no end|>"),
        ("slm/tokenizer.json", "has no token '<|no end|>'"),
    ),
    "a tokenizer of more ids than the model": (
        settings("llm/config.json", vocab_size=50),
        ("llm/tokenizer.json does not fit llm/config.json", "49"),
    ),
    "an end of answers that the model does not know": (
        settings("pair.json", tokenizers__slm__more_eos_ids=[99_999]),
        ("slm/tokenizer.json does not fit slm/config.json", "99999"),
    ),
    "a tokenizer that is not listed": (
        settings("pair.json", tokenizers__slm__file="other.json"),
        ("lists no SHA-256 of other.json",),
    ),
    "code of its own": (settings("llm/config.json", auto_map={"AutoConfig": "evil.Config"}), ("auto_map",)),
    "code of its own in another family": (
        settings("llm/config.json", model_type="opt", auto_map={"AutoConfig": "evil.Config"}),
        ("llm/config.json", "auto_map"),
    ),
    "a family that nobody knows": (settings("slm/config.json", model_type="gpt9"), ("gpt9",)),
    "a hybrid without a block to read": (settings(HYB, layer=0), (HYB, "layer is 0")),
    "a hybrid of a block too many": (settings(HYB, layer=7), (HYB, "layer is 7")),
    "a hybrid of half a block": (settings(HYB, layer=1.5), (HYB, "layer is 1.5")),
    "a hybrid of a true block": (settings(HYB, layer=True), (HYB, "layer is True")),
    "a hybrid of blocks in no order": (settings(HYB, layer=[2, 1]), (HYB, "layer is [2, 1]")),
    "a hybrid of no blocks": (settings(HYB, layer=[]), (HYB, "layer is []")),
    "a hybrid of half of several blocks": (settings(HYB, layer=[1, 1.5]), (HYB, "layer is [1, 1.5]")),
    "a hybrid with half a bridge": (settings(HYB, bridge="no"), (HYB, "bridge is 'no'")),
    "a hybrid without its bridge": (settings(HYB, bridge=False), ("hybrid/model", "bridge.weight")),
    "a hybrid with a standard of its own": (
        settings(HYB, standardize=2),
        (HYB, "standardize is 2"),
    ),
    "a hybrid of another LLM": (
        settings(HYB, llm__rms_norm_eps=0.5),
        ("describes another LLM", "rms_norm_eps"),
    ),
    "an LLM that is nowhere": (
        settings("pair.json", llm={"reference": "./nowhere", "files": {}}),
        ("./nowhere",),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zoo") / "any"
    save_any_pair(folder, layer=1, standardize=True)
    return folder


@pytest.fixture
def pair(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "zoo" / "any"))


def check(error: PairError, says: tuple[str, ...]) -> None:
    sentence = str(error)
    assert sentence.isprintable()
    assert len(sentence) < 700
    for part in says:
        assert part in sentence


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_damaged_manifest_is_refused_in_a_sentence(pair: Path, name: str) -> None:
    damage, says = MANIFESTS[name]
    damage(pair)
    with pytest.raises(PairError) as caught:
        read_manifest(pair)
    check(caught.value, (str(pair), *says))


@pytest.mark.parametrize("name", FOLDERS)
def test_a_damaged_file_is_refused_in_a_sentence(pair: Path, name: str) -> None:
    damage, says = FOLDERS[name]
    damage(pair)
    write_manifest(pair, json.loads((pair / "pair.json").read_text("utf-8")))
    with pytest.raises(PairError) as caught:
        load_bundle("any", pair.parent)
    check(caught.value, says)


def test_a_manifest_without_hashes_is_refused(pair: Path) -> None:
    manifest = json.loads((pair / "pair.json").read_bytes())
    del manifest["sha256"]
    (pair / "pair.json").write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(PairError, match=r"lists no SHA-256 of llm/tokenizer\.json"):
        read_manifest(pair)


def test_what_is_more_in_a_manifest_is_let_pass(pair: Path) -> None:
    for change in ({"later": 1}, {f"tasks__{OWN}__later": 1}, {f"prompts__slm__{OWN}__later": 1}):
        settings("pair.json", **change)(pair)
    assert load_bundle("any", pair.parent, models=()).codec("llm").encode(OWN, ["ein Haus"])
