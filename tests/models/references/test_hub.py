"""Models of the Hub: told of before they are fetched, fetched once, and every failure in one sentence."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from hybrid.models.references import load_model, resolve
from hybrid.schema import Event, Notice, Status
from tests.models.references.conftest import NAME, Make, half_written, refusal, tiny_llama, weights
from tests.models.references.fake_hub import COMMIT, FakeHub


def test_licence_and_size_are_told_before_the_weights(hub: FakeHub, cache: Path) -> None:
    events: list[tuple[Event, int]] = []
    checkpoint = resolve(f"hub:{NAME}", lambda event: events.append((event, len(weights(hub)))))
    (notice, before), *status = events
    assert isinstance(notice, Notice)
    assert before == 0
    assert notice.sentence.startswith(f"hub:{NAME}, licence apache-2.0, commit c0ffee000000: 0.")
    assert notice.sentence.endswith(f"MB are fetched into {cache}.")
    assert all(isinstance(event, Status) for event, _ in status)
    assert (checkpoint.revision, checkpoint.licence) == (COMMIT, "apache-2.0")
    ids = torch.tensor([[5, 6, 7]])
    with torch.inference_mode():
        assert torch.equal(load_model(checkpoint)(ids).logits, tiny_llama()(ids).logits)


def test_only_what_a_model_is_made_of_is_fetched(hub: FakeHub, cache: Path, llama: Path) -> None:
    for name in ("pytorch_model.bin", "README.md", "modeling.py", "consolidated.safetensors", "model.onnx"):
        (llama / name).write_bytes(b"x" * 1000)
    (llama / "onnx").mkdir()
    resolve(NAME)
    folder = cache / "models--someone--tiny-llama" / "snapshots" / COMMIT
    expected = {"config.json", "generation_config.json", "tokenizer.json", "model.safetensors"}
    assert {path.name for path in folder.iterdir()} == expected


def test_nothing_else_is_sent(hub: FakeHub) -> None:
    resolve(NAME)
    for _, path, headers in hub.requests:
        assert path.startswith((f"/api/models/{NAME}", f"/{NAME}/resolve/"))
        assert "torch/" not in headers["user-agent"]
        assert "authorization" not in headers


def test_the_second_time_nothing_is_fetched(hub: FakeHub) -> None:
    resolve(NAME)
    events: list[Event] = []
    fetched = weights(hub)
    assert resolve(NAME, events.append).revision == COMMIT
    assert (weights(hub), events) == (fetched, [])
    count = len(hub.requests)
    assert resolve(f"hub:{NAME}@{COMMIT}").revision == COMMIT  # a commit never changes: nobody is asked
    assert len(hub.requests) == count


def test_a_revision(hub: FakeHub) -> None:
    assert resolve(f"{NAME}@v1").revision == COMMIT
    assert "the Hub has no such revision" in refusal(f"{NAME}@v2")


def test_shards(hub: FakeHub, save: Make) -> None:
    hub.models["someone/large"] = save(tiny_llama(), "large", max_shard_size="100KB")
    checkpoint = resolve("someone/large")
    assert len(checkpoint.weight_files) > 1
    assert load_model(checkpoint).config.hidden_size == 64


def test_progress_of_a_slow_download(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybrid.models.references.hub_client.TELL_EVERY_S", 0)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 4096)
    hub.pause_s = 0.002
    events: list[Event] = []
    resolve(NAME, events.append)
    sentences = [event.sentence for event in events if isinstance(event, Status)]
    assert len(sentences) > 10
    assert sentences[-1].startswith(f"Fetching hub:{NAME}: ")
    assert sentences[-1].endswith("(100 %)")


def test_whoever_is_told_can_end_it(hub: FakeHub, cache: Path) -> None:
    def end(event: Event) -> None:
        if isinstance(event, Status):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resolve(NAME, end)
    assert not half_written(cache)


@pytest.mark.parametrize("status", [401, 403])
def test_gated_models(hub: FakeHub, status: int, cache: Path) -> None:
    hub.refused["someone/gated"] = (status, "GatedRepo")
    hub.models["someone/listed"] = hub.models[NAME]
    hub.gated.add("someone/listed")  # all may see what is in it
    for name in ("someone/gated", "someone/listed"):
        message = refusal(name)
        assert f"{name} is open only to those who were granted access" in message
        assert f"ask at {hub.url}/{name} and run `hf auth login`" in message
    assert not half_written(cache)


def test_unknown_models(hub: FakeHub) -> None:
    assert "The Hub has no model 'someone/nothing', or keeps it private" in refusal("someone/nothing")
    hub.refused["someone/gone"] = (404, "")
    assert "someone/gone" in refusal("someone/gone")
    assert "is no name like hub:org/name" in refusal("hub:nothing")
    assert "The Hub has no model" in refusal("hub:some--one/..")


def test_no_network(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    message = refusal()
    assert message.startswith(f"hub:{NAME} cannot be fetched (")
    assert "it is not in the cache" in message
    assert not cache.exists()


def test_a_hub_that_fails(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    hub.refused[NAME] = (503, "")
    assert "cannot be fetched (" in refusal()


def test_what_is_in_the_cache_needs_no_network(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    resolve(NAME)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    events: list[Event] = []
    assert resolve(NAME, events.append).revision == COMMIT
    assert f"hub:{NAME} is taken from the cache" in events[0].sentence
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert resolve(NAME).revision == COMMIT
    assert f"hub:{NAME}@v7 is not in the cache, and HF_HUB_OFFLINE forbids" in refusal(f"{NAME}@v7")


def test_a_disk_without_room(hub: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=1_000_000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    message = refusal()
    assert f"and {cache} has 1.0 MB free; make room, or set HF_HOME" in message
    assert weights(hub) == []


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_code_of_its_own_is_refused_before_the_weights(hub: FakeHub, llama: Path, name: str) -> None:
    settings = json.loads((llama / "config.json").read_text()) if name == "config.json" else {}
    (llama / name).write_text(json.dumps(settings | {"auto_map": {"AutoModel": "modeling.Model"}}))
    assert f"{name} of hub:{NAME} names code of the model's own (auto_map)" in refusal()
    assert weights(hub) == []


def test_pickles_and_ggufs_are_refused_before_anything(hub: FakeHub, llama: Path) -> None:
    (llama / "model.safetensors").rename(llama / "pytorch_model.bin")
    assert "only as pickles (pytorch_model.bin)" in refusal()
    (llama / "pytorch_model.bin").rename(llama / "model.Q4_0.gguf")
    assert f"name one of these files, as hub:{NAME}/model.Q4_0.gguf." in refusal()
    assert not [path for path in hub.paths() if "/resolve/" in path]


def test_a_gguf_file_of_the_hub(hub: FakeHub, tiny_tokenizer_file: Path, tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    from tests.models.references.test_gguf_file import write

    (tmp_path / "ggufs").mkdir()
    write(tmp_path / "ggufs" / "m.gguf", tiny_llama(), gguf.GGMLQuantizationType.F16, tiny_tokenizer_file)
    (tmp_path / "ggufs" / "other.gguf").write_bytes(b"x")
    hub.models["someone/ggufs"] = tmp_path / "ggufs"
    events: list[Event] = []
    checkpoint = resolve("someone/ggufs/m.gguf", events.append)
    assert (checkpoint.revision, checkpoint.kind) == (COMMIT, "gguf")
    assert isinstance(events[0], Notice)
    assert load_model(checkpoint).config.hidden_size == 64
    assert not [path for path in hub.paths() if "other" in path]
    count = len(hub.requests)
    assert resolve(f"hub:someone/ggufs/m.gguf@{COMMIT}").weight_files == ("m.gguf",)
    assert len(hub.requests) == count
    assert "has no n.gguf; its GGUF files are m.gguf and other.gguf" in refusal("hub:someone/ggufs/n.gguf")


def test_a_licence_that_is_not_stated(hub: FakeHub) -> None:
    hub.licence = None
    events: list[Event] = []
    resolve(NAME, events.append)
    assert "licence not stated" in events[0].sentence
