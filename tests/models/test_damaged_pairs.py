"""Pairs whose hashes are right and whose files are not sound: one sentence each that names the file."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from hybrid.errors import PairError
from hybrid.models.bundle import load_bundle
from hybrid.models.manifest import available_pairs, write_manifest
from hybrid.models.sources import ZooSource
from hybrid.schema import Event, Notice
from tests.models.damage import Damage, instead, settings, tensors, text, vocabulary


@pytest.fixture
def pair(tiny_zoo: Path, tmp_path: Path) -> Path:
    """A copy of the tiny pair that a test may damage."""
    return Path(shutil.copytree(tiny_zoo / "tiny", tmp_path / "zoo" / "tiny"))


Q = "decoder.block.0.layer.0.SelfAttention.q.weight"
SCALE = Q + ".int8_scale"
SLM = "slm/model.safetensors"
NESTED = "[" * 100_000 + "]" * 100_000
ESCAPES = "\x1b[2J\x9b31m"

WITH_RIGHT_HASHES: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "tokenizer: not JSON": (text("tokenizer.json", "{"), ("tokenizer.json is no tokenizer",)),
    "tokenizer: another file": (text("tokenizer.json", "[]"), ("tokenizer.json is no tokenizer",)),
    "tokenizer: nested": (text("tokenizer.json", NESTED), ("tokenizer.json is no tokenizer",)),
    "tokenizer: one that makes its library panic": (
        settings("tokenizer.json", model__continuing_subword_prefix="a prefix of no entry"),
        ("tokenizer.json is no tokenizer",),
    ),
    "tokenizer: one that knows no word": (
        settings("tokenizer.json", model={"type": "WordLevel", "vocab": {}, "unk_token": "none"}),
        ("tokenizer.json is no tokenizer", "Missing"),
    ),
    "tokenizer: a version that steers": (
        settings("tokenizer.json", version=f"2{ESCAPES}"),
        ("tokenizer.json is no tokenizer", "version"),
    ),
    "tokenizer: huge": (
        lambda folder: os.truncate(folder / "tokenizer.json", 2**31),
        ("tokenizer.json has 2,147,483,648 bytes",),
    ),
    "tokenizer: an id beyond the vocabulary": (
        vocabulary(foreign=5000),
        ("tokenizer.json does not fit llm/config.json", "5000", "383"),
    ),
    "tokenizer: other special ids": (
        settings("slm/config.json", eos_token_id=7),
        ("tokenizer.json does not fit slm/config.json", "</s> 1", "</s> 7"),
    ),
    "config: not JSON": (text("llm/config.json", "{"), ("llm/config.json is damaged",)),
    "config: not UTF-8": (text("llm/config.json", b'{"a": "\xff"}'), ("llm/config.json is damaged",)),
    "config: a list": (text("llm/config.json", "[]"), ("llm/config.json is damaged", "not a JSON object")),
    "config: nested": (text("llm/config.json", NESTED), ("llm/config.json is damaged", "nested too deeply")),
    "config: huge": (
        lambda folder: os.truncate(folder / "slm/config.json", 2**31),
        ("slm/config.json has 2,147,483,648 bytes",),
    ),
    "config: code of its own": (
        settings("llm/config.json", auto_map={"AutoConfig": "evil.Config"}),
        ("llm/config.json", "auto_map", "never run"),
    ),
    "config: code in a hybrid": (
        settings("hybrid/config.json", slm__auto_map={"AutoModelForSeq2SeqLM": "evil.Model"}),
        ("hybrid/config.json", "auto_map"),
    ),
    "config: another family": (
        settings("slm/config.json", model_type="falcon_h1"),
        ("slm/config.json", "'falcon_h1'", "T5"),
    ),
    "config: no family": (settings("slm/config.json", model_type=[]), ("slm/config.json", "model_type")),
    "config: a negative size": (
        settings("llm/config.json", d_model=-4),
        ("llm/config.json", "-4", ">= 1", "d_model"),
    ),
    "config: a huge size": (
        settings("llm/config.json", d_ff=10**12),
        ("llm/config.json", "1000000000000", "d_ff"),
    ),
    "config: endless layers": (settings("llm/config.json", num_layers=10**9), ("llm/config.json", "<= 1000")),
    "config: no number": (settings("llm/config.json", num_heads="4"), ("llm/config.json", "num_heads")),
    "config: no truth value": (
        settings("llm/config.json", tie_word_embeddings="no"),
        ("llm/config.json", "tie_word_embeddings"),
    ),
    "config: a name that steers": (
        settings("llm/config.json", feed_forward_proj=f"relu{ESCAPES}"),
        ("llm/config.json", "feed_forward_proj"),
    ),
    "config: no size": (settings("llm/config.json", d_kv=None), ("llm/config.json", "d_kv")),
    "config: no epsilon": (
        settings("llm/config.json", layer_norm_epsilon=float("nan")),
        ("llm/config.json", "nan", "layer_norm_epsilon"),
    ),
    "config: an id beyond the vocabulary": (
        settings("slm/config.json", decoder_start_token_id=999),
        ("slm/config.json", "decoder_start_token_id is 999", "384"),
    ),
    "config: distances without buckets": (
        settings("slm/config.json", relative_attention_max_distance=16),
        ("slm/config.json", "relative_attention_max_distance is 16"),
    ),
    "config: an alias of a size": (  # T5's hidden_size is its d_model
        settings("slm/config.json", d_model=24, hidden_size=32),
        ("slm/model.safetensors", "has the shape"),
    ),
    "hybrid: another type": (settings("hybrid/config.json", model_type="t5"), ("hybrid/config.json", "'t5'")),
    "hybrid: no LLM": (settings("hybrid/config.json", llm=None), ("hybrid/config.json", "llm is missing")),
    "hybrid: an LLM of no object": (settings("hybrid/config.json", llm=3), ("hybrid/config.json", "llm")),
    "hybrid: another fusion": (
        settings("hybrid/config.json", fusion=["add"]),
        ("hybrid/config.json", "fusion is ['add']"),
    ),
    "hybrid: another LLM of the same weights": (
        settings("hybrid/config.json", llm__num_heads=6, llm__d_kv=8),
        ("hybrid/config.json describes another LLM", "d_kv is 8, not 16"),
    ),
    "weights: a scale is missing": (tensors(SLM, lambda w: w.pop(SCALE)), (SLM, repr(Q), "without a scale")),
    "weights: a slice of rows is missing": (
        tensors(SLM, lambda w: w.update({f"{Q}.rows-00001": w.pop(Q)[1:].clone()})),
        (SLM, repr(Q), "has the shape"),
    ),
    "weights: slices that do not fit": (
        tensors(SLM, lambda w: w.update({f"{Q}.rows-00000": w.pop(Q), f"{Q}.rows-00001": torch.ones(2)})),
        (SLM, repr(SCALE), "no int8 matrix"),
    ),
    "weights: a slice beside the whole": (
        tensors(SLM, lambda w: w.update({f"{Q}.rows-00000": w[Q].clone()})),
        (SLM, repr(f"{Q}.rows-00000"), "no part of the model"),
    ),
    "weights: a matrix is missing": (tensors(SLM, lambda w: w.pop(Q)), (SLM, repr(SCALE), "no int8 matrix")),
    "weights: a scale too few": (
        tensors(SLM, lambda w: w.update({SCALE: w[SCALE][:1].clone()})),
        (SLM, repr(SCALE), "the shape (1,)", "(32,)"),
    ),
    "weights: whole numbers as scale": (
        tensors(SLM, lambda w: w.update({SCALE: w[SCALE].long()})),
        (SLM, repr(SCALE), "int64"),
    ),
    "weights: a scale that is no number": (
        tensors(SLM, lambda w: w[SCALE].fill_(float("nan"))),
        (SLM, repr(SCALE), "no finite numbers"),
    ),
    "weights: a scale too large": (
        tensors(SLM, lambda w: w[SCALE].fill_(3e38)),
        (SLM, repr(SCALE), "no finite numbers"),
    ),
    "weights: an infinite gain": (
        tensors(SLM, lambda w: w["encoder.final_layer_norm.weight"].fill_(float("inf"))),
        (SLM, "final_layer_norm", "no finite numbers"),
    ),
    "weights: another shape": (
        tensors(SLM, lambda w: w.update({Q: w[Q][:, :16].clone()})),
        (SLM, repr(Q), "the shape (32, 16)", "(32, 32)"),
    ),
    "weights: another type": (
        tensors(SLM, lambda w: w.update({Q: w[Q].int()}) or w.pop(SCALE)),
        (SLM, repr(Q), "int32"),
    ),
    "weights: one tensor more": (
        tensors(SLM, lambda w: w.update({f"evil{ESCAPES}": torch.ones(2)})),
        (SLM, r"evil\x1b[2J\x9b31m", "no part of the model"),
    ),
    "weights: the hybrid's own LLM": (
        tensors("hybrid/model.safetensors", lambda w: w.update({"llm.shared.weight": torch.ones(384, 48)})),
        ("hybrid/model.safetensors", "llm.shared.weight", "no part of the model"),
    ),
    "weights: twice": (
        lambda folder: shutil.copy(folder / SLM, folder / "slm/model-2.safetensors"),
        ("slm/model.safetensors", "is in model-2.safetensors, too"),
    ),
    "weights: huge": (lambda folder: os.truncate(folder / SLM, 2**40), (f"{SLM} has 1,099,",)),
    "weights: a type that steers": (
        lambda folder: (folder / SLM).write_bytes(
            (folder / SLM).read_bytes().replace(b'"dtype":"F32"', b'"dtype":"\x9b2J"', 1)
        ),
        (SLM, "not a readable safetensors"),
    ),
    "weights: not a safetensors file": (text(SLM, b"\x80\x04 a pickle"), (SLM, "not a readable safetensors")),
}  # fmt: skip

AS_THEY_ARE: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "manifest: no number": (settings("pair.json", max_prompt_tokens="3"), ("pair.json", "max_prompt_tokens")),
    "manifest: a number too small": (
        settings("pair.json", max_prompt_tokens=-1),
        ("pair.json", "got -1", "max_prompt_tokens"),
    ),
    "manifest: no limit": (settings("pair.json", max_prompt_tokens=None), ("pair.json", "max_prompt_tokens")),
    "manifest: no tasks": (settings("pair.json", tasks=[]), ("pair.json", "tasks")),
    "manifest: no list of tasks": (settings("pair.json", tasks={"a": 1}), ("pair.json", "tasks")),
    "manifest: a task that steers": (
        settings("pair.json", tasks=[f"sum{ESCAPES}"]),
        ("pair.json", r"'sum\x1b[2J\x9b31m' has control characters"),
    ),
    "manifest: half a character": (settings("pair.json", name="\ud800"), ("pair.json", "control")),
    "manifest: no sizes": (settings("pair.json", parameters=None), ("pair.json", "parameters")),
    "manifest: a size of 400 digits": (
        settings("pair.json", parameters__llm=10**400),
        ("pair.json", "parameters.llm"),
    ),
    "manifest: hashes that are none": (settings("pair.json", sha256=[1]), ("pair.json", "sha256")),
    "manifest: a hash that is none": (
        lambda folder: settings("pair.json", sha256={"tokenizer.json": "ab"})(folder),
        ("pair.json", "'ab'", "sha256"),
    ),
    "manifest: a file elsewhere": (
        settings("pair.json", sha256={"llm/../../../other.safetensors": "0" * 64}),
        ("pair.json", "'llm/../../../other.safetensors'", "inside the pair's folder"),
    ),
    "manifest: an absolute file": (
        settings("pair.json", sha256={"/etc/passwd": "0" * 64}),
        ("pair.json", "'/etc/passwd'"),
    ),
    "manifest: another format": (settings("pair.json", format={"a": 1}), ("pair.json", "format {'a': 1}")),
    "manifest: nested": (text("pair.json", NESTED), ("pair.json is damaged", "nested too deeply")),
    "manifest: huge": (lambda folder: os.truncate(folder / "pair.json", 2**31), ("pair.json", "bytes")),
    "manifest: a pipe": (instead("pair.json", os.mkfifo), ("pair.json", "not a file")),
    "manifest: a folder": (instead("pair.json", os.mkdir), ("pair.json", "directory")),
    "a pipe": (instead("tokenizer.json", os.mkfifo), ("tokenizer.json is no file but a pipe",)),
    "a folder": (instead("llm/config.json", os.mkdir), ("llm/config.json is no file but a folder",)),
    "a device": (instead(SLM, lambda p: p.symlink_to("/dev/zero")), (f"{SLM} is no file but a device",)),
    "a link to nothing": (instead(SLM, lambda p: p.symlink_to("nothing")), (f"{SLM} is missing",)),
    "a link to itself": (instead(SLM, lambda p: p.symlink_to(p.name)), (SLM, "cannot be read")),
}  # fmt: skip


def refusal(pair: Path, says: tuple[str, ...]) -> None:
    with pytest.raises(PairError) as caught:
        load_bundle("tiny", pair.parent)
    sentence = str(caught.value)
    assert f"{pair}/" in sentence
    assert sentence.isprintable()  # on one line, and it steers no terminal
    assert len(sentence) < 600
    for part in says:
        assert part in sentence


@pytest.mark.parametrize("name", WITH_RIGHT_HASHES)
def test_a_damaged_file_is_refused_in_a_sentence(pair: Path, name: str) -> None:
    damage, says = WITH_RIGHT_HASHES[name]
    damage(pair)
    if not name.endswith(": huge"):
        write_manifest(pair, json.loads((pair / "pair.json").read_text("utf-8")))
    refusal(pair, says)


@pytest.mark.parametrize("name", AS_THEY_ARE)
def test_a_damaged_folder_is_refused_in_a_sentence(pair: Path, name: str) -> None:
    damage, says = AS_THEY_ARE[name]
    damage(pair)
    refusal(pair, says)


def test_a_tokenizer_of_other_ids_is_refused_also_without_the_models(pair: Path) -> None:
    vocabulary(foreign=5000)(pair)
    write_manifest(pair, json.loads((pair / "pair.json").read_text("utf-8")))
    with pytest.raises(PairError, match="does not fit"):
        ZooSource("tiny", pair.parent).codec("llm")


def test_what_a_tokenizer_file_asks_for_beside_ids_is_not_done(pair: Path) -> None:
    cut = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    fill = {
        "strategy": {"Fixed": 10**9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
        "pad_type_id": 0, "pad_token": "<pad>",
    }  # fmt: skip
    before = ZooSource("tiny", pair.parent).codec("llm").encode("summarize", ["A house."])
    settings("tokenizer.json", truncation=cut, padding=fill)(pair)
    write_manifest(pair, json.loads((pair / "pair.json").read_text("utf-8")))
    assert ZooSource("tiny", pair.parent).codec("llm").encode("summarize", ["A house."]) == before


def test_a_link_to_the_right_file_is_followed(pair: Path, tmp_path: Path) -> None:
    shutil.move(pair / SLM, tmp_path / "elsewhere")
    (pair / SLM).symlink_to(tmp_path / "elsewhere")
    assert load_bundle("tiny", pair.parent, models=["slm"]).slm


def test_a_damaged_pair_leaves_the_others_in_use(pair: Path) -> None:
    other = Path(shutil.copytree(pair, pair.with_name("another")))
    (other / "pair.json").write_text("{", "utf-8")
    events: list[Event] = []
    assert list(available_pairs(pair.parent, events.append)) == ["tiny"]
    assert [isinstance(event, Notice) and str(other) in event.sentence for event in events] == [True]
    assert ZooSource("tiny", pair.parent).name == "tiny"
    with pytest.raises(PairError, match=r"another/pair\.json is damaged"):
        ZooSource(None, pair.parent)  # the first one, whatever it is
