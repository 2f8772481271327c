"""Quality is that of generate() one prompt at a time."""

import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hybrid.errors import PairError, SuiteError
from hybrid.metrics import score
from hybrid.models.bundle import Bundle
from hybrid.schema import SYSTEMS, TASKS
from hybrid.training.evaluate import CONTROLS, quality, read_tables

SOURCES = [
    "The committee agreed that the new bridge should be opened before winter.",
    "Good morning.",
    "Many people have lived in the old house by the river for years, and nobody wants to leave it.",
    "She said nothing.",
    "Prices rose by 3% in 2019; wages did not.",
]
NEW_TOKENS = 12


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suite") / "five.tsv"
    path.write_text("".join(f"made\t{s}\tDas Haus {i} ist alt.\n" for i, s in enumerate(SOURCES)), "utf-8")
    return path


def prompt_ids(bundle: Bundle, task: str, text: str) -> torch.Tensor:
    codec = bundle.codec("llm")
    (prompt,) = codec.encode(task, [text], truncate=True)
    return torch.tensor([prompt.token_ids])


@torch.inference_mode()
def one_by_one(bundle: Bundle, system, task: str, sources: list[str]) -> tuple[str, ...]:
    texts = []
    for text in sources:
        ids = prompt_ids(bundle, task, text)
        generated = bundle.model(system).generate(
            ids, max_new_tokens=NEW_TOKENS, do_sample=False, num_beams=1
        )
        texts.append(bundle.codec(system).decode(generated[0].tolist()))
    return tuple(texts)


@pytest.mark.parametrize("batch", [2, 25])
def test_quality_scores_what_generate_writes(
    tiny_bundle: Bundle, file: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr("hybrid.training.evaluate.BATCH", batch)
    task = "translate-en-de"
    rows = list(quality(tiny_bundle, read_tables([file]), TASKS[task], SYSTEMS, max_new_tokens=NEW_TOKENS))
    assert [row.system for row in rows] == list(SYSTEMS)
    for row in rows:
        assert row.outputs == one_by_one(tiny_bundle, row.system, task, SOURCES)
        assert row.score == score("bleu", row.outputs, [[f"Das Haus {i} ist alt."] for i in range(5)])
        assert (row.file, row.cut_prompts) == ("five.tsv", 0)
    assert len({row.outputs for row in rows}) == 3


def test_summaries_are_scored_with_rouge_l_and_long_prompts_are_cut(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    path = tmp_path / "long.tsv"
    long = " ".join(SOURCES * 3)
    path.write_text(f"made\t{long}\tA house.\nmade\t{SOURCES[0]}\tA bridge.\nmade\tx\ty\n", "utf-8")
    tables = read_tables([path], limit=2)
    rows = quality(tiny_bundle, tables, TASKS["summarize"], ["slm"], max_new_tokens=NEW_TOKENS)
    (row,) = rows
    assert row.cut_prompts == 1
    assert row.outputs == one_by_one(tiny_bundle, "slm", "summarize", [long, SOURCES[0]])
    assert row.score == score("rougeL", row.outputs, [["A house."], ["A bridge."]])


@torch.inference_mode()
def test_the_control_is_fed_the_next_prompts_latent(tiny_bundle: Bundle, file: Path) -> None:
    task = "translate-en-de"
    rows = quality(
        tiny_bundle, read_tables([file]), TASKS[task], ["hybrid"], ["mismatched"], max_new_tokens=NEW_TOKENS
    )
    plain, control = rows
    assert (plain.system, control.system) == ("hybrid", CONTROLS["mismatched"])
    assert plain.outputs != control.outputs
    pair, expected = tiny_bundle.hybrid, []
    for text, other in zip(SOURCES, SOURCES[1:] + SOURCES[:1], strict=True):
        ids, foreign = prompt_ids(tiny_bundle, task, text), prompt_ids(tiny_bundle, task, other)
        latent = pair.read(foreign, torch.ones_like(foreign))
        latent = latent[:, torch.arange(ids.shape[1]) % foreign.shape[1]]
        generated = pair.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), llm_hidden_states=latent,
            max_new_tokens=NEW_TOKENS, do_sample=False, num_beams=1,
        )  # fmt: skip
        expected.append(tiny_bundle.codec("hybrid").decode(generated[0].tolist()))
    assert control.outputs == tuple(expected)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", "is empty; a suite has at least one example"),
        ("x\tGood.\tGut.\nx\t\tGut.\n", "line 2: the source is empty"),
        ("x\tGood.\t\n", "line 1: the reference is empty"),
        ("x\tGood.\t \u00a0 \n", "line 1: the reference is empty"),
        ("x\tGood\f\tGut.\n", r"line 1: there is a control character \(U\+000C\)"),
    ],
)
def test_what_cannot_be_scored_is_named_and_never_scored(tmp_path: Path, content: str, error: str) -> None:
    path = tmp_path / "wrong.tsv"
    path.write_text(content, "utf-8")
    with pytest.raises(SuiteError, match=rf"wrong\.tsv.*{error}"):
        read_tables([path])


def test_what_looks_alike_is_answered_and_scored_alike(tiny_bundle: Bundle, tmp_path: Path) -> None:
    rows = [
        ("The caf\u00e9 in D\u00fcsseldorf.", "Das Caf\u00e9 in D\u00fcsseldorf."),
        ("Ten men.", "Zehn M\u00e4nner."),
    ]
    plain, other = tmp_path / "plain.csv", tmp_path / "other.csv"
    table = "".join(f'"{source}","{reference}"\n' for source, reference in rows)
    plain.write_text(table, "utf-8")
    odd = unicodedata.normalize("NFD", table).replace(" ", "\u00a0\r\n").replace("men", "m\u00aden")
    other.write_text(odd, "utf-8", newline="")
    task = "translate-en-de"
    first, second = quality(
        tiny_bundle, read_tables([plain, other]), TASKS[task], ["slm"], max_new_tokens=NEW_TOKENS
    )
    assert (second.outputs, second.score) == (first.outputs, first.score)
    perfect, odd_references = [b for _, b in rows], [[unicodedata.normalize("NFD", b)] for _, b in rows]
    assert score("chrf", perfect, odd_references).value == 100


def test_models_that_the_bundle_lacks_are_named(tiny_bundle: Bundle, file: Path) -> None:
    slm = replace(tiny_bundle, models={"slm": tiny_bundle.slm})
    with pytest.raises(PairError, match=r"tiny has no hybrid here; available: slm\."):
        list(quality(slm, read_tables([file]), TASKS["translate-en-de"], ["slm"], tuple(CONTROLS)))
