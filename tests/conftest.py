"""Shared fixtures: a tiny random pair, saved as a bundle and loaded again."""

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from hybrid.store import StoredRun

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a test that asks the network is a bug
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

TINY = "tiny"
TINY_LIMIT = 160  # prompt tokens; beyond T5's last distance bucket, which starts at 128
TINY_VOCABULARY = 384
_TEXT = (
    "translate English to German: The committee agreed that the new bridge should be opened before winter. "
    "summarize: Das Haus am Fluss ist alt und groß; viele Leute wohnen dort seit Jahren. "
)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _settled_heap() -> None:
    """The collector leaves alone what is there before a test: going through torch takes it 0.2 s."""
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _heap_of_its_own() -> Iterator[None]:
    """What one file of tests leaves behind is collected during the next."""
    yield
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What engines build is kept for the tests alone; no pair of whoever runs them is seen."""
    os.environ["HYBRID_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session", autouse=True)
def _own_lock(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No measurement outside holds the lock of the tests."""
    os.environ["HYBRID_RUNTIME"] = str(tmp_path_factory.mktemp("runtime"))


@pytest.fixture(scope="session")
def tiny_tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE tokenizer.json: <pad>=0, </s>=1, <unk>=2."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=TINY_VOCABULARY,
        special_tokens=["<pad>", "</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([_TEXT] * 4, trainer)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def tiny_t5(width: int, heads: int, layers: int, seed: int):
    """A random T5 whose greedy answers vary and sometimes end before they must."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=TINY_VOCABULARY, d_model=width, d_ff=2 * width, d_kv=width // heads, num_heads=heads,
        num_layers=layers, num_decoder_layers=layers, feed_forward_proj="gated-gelu",
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    model = T5ForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "layer_norm" in name:  # a gain that is not 1 everywhere
                weight.uniform_(0.5, 1.5)
            elif "relative_attention_bias" in name:
                weight.normal_(std=1.0)
            elif "shared" in name:  # small beside the layers' sums, else a token only repeats itself
                weight.normal_(std=0.3)
                weight[1] *= 2.0
            elif ".q.weight" in name:
                weight.mul_(0.5 * config.d_kv**0.5)
            else:
                weight.mul_(2.0)
    return model


@pytest.fixture(scope="session")
def tiny_zoo(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer_file: Path) -> Path:
    """A folder with one bundle, `tiny`, for HYBRID_ZOO or load_bundle(root=...); do not write to it."""
    import torch

    from hybrid.models.pair import HybridForConditionalGeneration
    from tests.shared_tokenizer import save_shared_pair

    zoo = tmp_path_factory.mktemp("zoo")
    llm, slm = tiny_t5(48, 3, 3, seed=1), tiny_t5(32, 2, 2, seed=2)
    writer = tiny_t5(32, 2, 2, seed=3)
    torch.manual_seed(114)
    hybrid = HybridForConditionalGeneration.from_parts(llm, writer).eval()
    with torch.no_grad():
        for layer in (hybrid.projector.up, hybrid.projector.down):
            layer.bias.normal_(std=0.1)
    models = {"llm": llm, "slm": slm, "hybrid": hybrid}
    save_shared_pair(zoo / TINY, tiny_tokenizer_file, models, TINY_LIMIT, {"note": "random weights"})
    return zoo


@pytest.fixture(scope="session")
def tiny_bundle(tiny_zoo: Path):
    """The tiny bundle, loaded; do not change its weights."""
    from hybrid.models.bundle import load_bundle

    return load_bundle(TINY, tiny_zoo)


@pytest.fixture(scope="session")
def fake_run() -> "Callable[..., StoredRun]":
    """Makes runs that nobody measured, in memory: fake_run(examples=3, repeats=1, tokens=5, **plan).

    Every number follows from the place of its record, and all times are whole
    microseconds, so that what is stored comes back equal.
    """
    return _fake_run


def _fake_run(
    examples: int = 3,
    repeats: int = 1,
    tokens: int = 5,
    run_id: str = "20261123-014512-made-up-3f9c",
    **plan: Any,
) -> "StoredRun":
    from hybrid.schema import Example, Plan, Run, Sampling, Suite
    from hybrid.store import StoredRun
    from tests.environments import made_environment

    texts = tuple(
        Example(f"news-{i}", "news", f"Source {i}.", (f"Reference {i}.", "Another.")) for i in range(examples)
    )
    suite = Suite("made-up", plan.pop("task", "summarize"), "CC0-1.0", texts)
    pair = plan.pop("pair", "tiny")
    plan = {"engine": "torch", "dtype": "float32", "sampling": Sampling()} | plan
    asked = Plan(
        suite.name, suite_hash=suite.content_hash, task=suite.task, pair=pair, repeats=repeats, **plan
    )
    environment = made_environment(weights_sha256="cd" * 32, device_name="cpu")
    order = [(e.id, repeat, system) for repeat in range(repeats) for e in texts for system in asked.systems]
    records = tuple(_fake_record(position, *place, tokens) for position, place in enumerate(order))
    run = Run(
        run_id=run_id,
        plan=asked,
        environment=environment,
        licence=suite.licence,
        signatures={"rougeL": "nrefs:2|rougeL|F1"},
        planned=len(records),
        created_at="2026-11-23T01:45:12+00:00",
    )
    return StoredRun(run, texts, records, ())


_PHASES = ("tokenize", "encode", "project", "prefill", "decode", "detokenize")  # of a hybrid's answer


def _fake_record(position: int, example_id: str, repeat: int, system: Any, tokens: int) -> Any:
    from hybrid.schema import Generation, Record, Timing

    times = tuple((1000 + 100 * position + 50 * i) / 1e6 for i in range(tokens))
    phases = {phase: (200 + 10 * i + position) / 1e6 for i, phase in enumerate(_PHASES)}
    phases["decode"] = (1000 + 100 * position + 50 * tokens) / 1e6  # all tokens are there before the end
    generation = Generation(
        system=system,
        text=f"Answer {position}.",
        token_ids=tuple(range(tokens)),
        prompt_tokens=9,
        finish_reason="eos" if position % 2 else "length",
        timing=Timing(phases, times),
    )
    statistics = {"rougeL": (1 / (position + 3),), "rouge1": (0.5,), "rouge2": (0.25,), "length": (8.0, 9.0)}
    started_at = f"2026-11-23T01:45:{position % 60:02}.123456+00:00"
    return Record(
        example_id=example_id,
        repeat=repeat,
        batch=position,
        position=position,
        started_at=started_at,
        generation=generation,
        statistics=statistics,
    )
