"""Quality is that of generate() one prompt at a time; speed-ups are paired ratios, their medians."""

from pathlib import Path

import pytest
import torch

from hybrid.errors import InputError
from hybrid.evaluate import CONTROL, quality, speed, speedups
from hybrid.metrics import score
from hybrid.model.bundle import Bundle
from hybrid.model.prompt import encode_prompt
from hybrid.schema import SYSTEMS, Generation, Timing

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
    prompt = encode_prompt(bundle.tokenizer, task, text, bundle.max_prompt_tokens, truncate=True)
    return torch.tensor([prompt.ids])


@torch.inference_mode()
def one_by_one(bundle: Bundle, system, task: str, sources: list[str]) -> tuple[str, ...]:
    texts = []
    for text in sources:
        ids = prompt_ids(bundle, task, text)
        made = bundle.model(system).generate(ids, max_new_tokens=NEW_TOKENS, do_sample=False, num_beams=1)
        texts.append(bundle.tokenizer.decode(made[0], skip_special_tokens=True))
    return tuple(texts)


@pytest.mark.parametrize("batch", [2, 25])
def test_quality_scores_what_generate_writes(
    tiny_bundle: Bundle, file: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr("hybrid.evaluate.BATCH", batch)
    task = "translate-en-de"
    rows = list(quality(tiny_bundle, [file], task, SYSTEMS, max_new_tokens=NEW_TOKENS))
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
    rows = quality(tiny_bundle, [path], "summarize", ["slm"], limit=2, max_new_tokens=NEW_TOKENS)
    (row,) = rows
    assert row.cut_prompts == 1
    assert row.outputs == one_by_one(tiny_bundle, "slm", "summarize", [long, SOURCES[0]])
    assert row.score == score("rougeL", row.outputs, [["A house."], ["A bridge."]])


@torch.inference_mode()
def test_the_control_is_fed_the_next_prompts_latent(tiny_bundle: Bundle, file: Path) -> None:
    task = "translate-en-de"
    rows = quality(tiny_bundle, [file], task, ["hybrid"], control=True, max_new_tokens=NEW_TOKENS)
    plain, control = rows
    assert (plain.system, control.system) == ("hybrid", CONTROL)
    assert plain.outputs != control.outputs
    pair, expected = tiny_bundle.hybrid, []
    for text, other in zip(SOURCES, SOURCES[1:] + SOURCES[:1], strict=True):
        ids, foreign = prompt_ids(tiny_bundle, task, text), prompt_ids(tiny_bundle, task, other)
        latent = pair.read(foreign, torch.ones_like(foreign))
        latent = latent[:, torch.arange(ids.shape[1]) % foreign.shape[1]]
        made = pair.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), llm_hidden_states=latent,
            max_new_tokens=NEW_TOKENS, do_sample=False, num_beams=1,
        )  # fmt: skip
        expected.append(tiny_bundle.tokenizer.decode(made[0], skip_special_tokens=True))
    assert control.outputs == tuple(expected)


def test_an_empty_file_has_no_quality_and_no_speed(tiny_bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "empty.tsv"
    path.touch()
    with pytest.raises(InputError):
        list(quality(tiny_bundle, [path], "summarize", ["slm"]))
    rows = list(speed(tiny_bundle, path, "summarize", ["slm"], max_new_tokens=4))
    assert rows == []
    with pytest.raises(InputError, match="no measured prompts"):
        speedups(rows, "slm")


def test_speed_measures_every_system_on_every_prompt(tiny_bundle: Bundle, file: Path) -> None:
    rows = list(speed(tiny_bundle, file, "translate-en-de", SYSTEMS, limit=3, max_new_tokens=NEW_TOKENS))
    assert len(rows) == 3
    for system in SYSTEMS:
        expected = one_by_one(tiny_bundle, system, "translate-en-de", SOURCES[:3])
        assert tuple(row[system].text for row in rows) == expected
    found = speedups(rows, "llm")
    assert list(found) == list(SYSTEMS)
    assert all(value > 0 for values in found.values() for value in values.values())
    assert found["llm"]["per_token"] == found["llm"]["end_to_end"] == 1


def generation(system, first_s: float, each_s: float, tokens: int) -> Generation:
    """An answer whose first token takes `first_s` and every further one `each_s` seconds."""
    times = tuple(first_s + n * each_s for n in range(tokens))
    timing = Timing({"encode": first_s, "decode": times[-1] - first_s}, times)
    return Generation(system, "", (5,) * tokens, 4, "length", timing)


def test_medians_of_paired_ratios() -> None:
    # per prompt: LLM 1 s + 0.4 s a token; hybrid with other rates and lengths.
    rows = [
        {"llm": generation("llm", 1.0, 0.4, 6), "hybrid": generation("hybrid", 1.0, each, tokens)}
        for each, tokens in [(0.1, 11), (0.2, 3), (0.4, 6)]
    ]
    found = speedups(rows, "llm")
    assert found["llm"] == pytest.approx(
        {"tpot_ms": 400, "ttft_ms": 1000, "total_ms": 3000, "per_token": 1, "end_to_end": 1}
    )
    hybrid = found["hybrid"]  # totals 2.0, 1.4 and 3.0 s
    assert hybrid["per_token"] == pytest.approx(2)
    assert hybrid["end_to_end"] == pytest.approx(1.5)
    assert hybrid["tpot_ms"] == pytest.approx(200)
    assert hybrid["ttft_ms"] == pytest.approx(1000)
    assert hybrid["total_ms"] == pytest.approx(2000)


def test_answers_of_one_token_have_no_time_per_token() -> None:
    rows = [
        {"llm": generation("llm", 1.0, 0.4, 6), "slm": generation("slm", 0.5, 0.1, 1)},
        {"llm": generation("llm", 1.0, 0.4, 6), "slm": generation("slm", 0.5, 0.1, 6)},
    ]
    found = speedups(rows, "llm")["slm"]
    assert found["per_token"] == pytest.approx(4)
    assert found["tpot_ms"] == pytest.approx(100)
    assert found["end_to_end"] == pytest.approx((3.0 / 0.5 + 3.0 / 1.0) / 2)
