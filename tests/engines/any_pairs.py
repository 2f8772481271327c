"""Tiny pairs of any two families, as sources of engines, and what transformers' generate() makes of them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from types import SimpleNamespace

import torch
from transformers import PreTrainedModel

from hybrid.models.pair import Hybrid, HybridForCausalLM
from hybrid.schema import EncodedPrompt, Sampling
from tests.models.tiny import EOS, PAD, VOCABULARY, tiny_model

NEW = 8
LONGEST = 40  # tokens of a prompt


def codec_of(eos_ids: Sequence[int]) -> SimpleNamespace:
    return SimpleNamespace(eos_ids=eos_ids, pad_id=PAD, reader_pad_id=PAD)


class AnyPair:
    """As much of a source, and of a bundle, as engines ask for: LLM, SLM and hybrid of two families."""

    name, max_prompt_tokens, eos_ids = "any", LONGEST, (EOS,)

    def __init__(self, llm: str, slm: str, **settings) -> None:
        torch.manual_seed(3)
        reads, writes = tiny_model(llm, 48), tiny_model(slm, 32, layers=2, seed=1)
        self.hybrid = Hybrid.from_parts(reads, tiny_model(slm, 32, layers=2, seed=2), **settings).eval()
        if self.hybrid.config.standardize:
            ids = torch.tensor(PROMPTS[-1:])
            self.hybrid.projector.calibrate(self.hybrid.read(ids, torch.ones_like(ids)))
        self.models = {"llm": reads, "slm": writes, "hybrid": self.hybrid}

    def spreads(self, device, dtype):
        return False

    def bundle(self, models, placement=None):
        return self

    def model(self, name: str):
        return self.models[name]

    def codec(self, method: str):
        ids = {"eos_ids": self.eos_ids, "eos_id": self.eos_ids[0], "pad_id": PAD, "reader_pad_id": PAD}
        return SimpleNamespace(**ids, writer=SimpleNamespace(unk_token_id=None))

    def config(self, name: str):
        return self.models[name].config

    def weights_sha256(self, model: str) -> None:
        return None


def _prompts() -> list[list[int]]:
    generator = torch.Generator().manual_seed(4)
    return [torch.randint(3, VOCABULARY, (n,), generator=generator).tolist() for n in (4, 17, 9, 2, 30)]


PROMPTS = _prompts()


def expected(model, prompt: Sequence[int], stop: Sequence[int] = ()) -> list[int]:
    """The new ids of transformers' greedy generate(), for one prompt alone."""
    ids = torch.tensor([prompt])
    written = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW, do_sample=False, num_beams=1,
        eos_token_id=list(stop) or None, pad_token_id=PAD,
    )[0].tolist()  # fmt: skip
    if model.config.is_encoder_decoder:
        return written[1:]
    return written if isinstance(model, HybridForCausalLM) else written[len(prompt) :]


def common_ids(models: Iterable[PreTrainedModel]) -> tuple[int, ...]:
    """Ids that some answers hold and others do not: ends of some of them."""
    counts = Counter(n for model in models for prompt in PROMPTS for n in set(expected(model, prompt)))
    return tuple(number for number, count in sorted(counts.items()) if 1 < count < 4)[:4]


def answers(engine, prompts: Sequence[Sequence[int]], stop: bool = False) -> list[list[int]]:
    """The ids that an engine gives for B prompts at once."""
    rows: list[list[int]] = [[] for _ in prompts]
    for step in engine.generate([EncodedPrompt(tuple(ids)) for ids in prompts], Sampling(NEW, not stop)):
        for row, new in zip(rows, step.token_ids, strict=False):
            row.extend(new)
    return rows


def phases(engine, prompt: Sequence[int]) -> list[str]:
    """The phases of an answer to one prompt, in their order, each once where it repeats."""
    names = [step.phase for step in engine.generate([EncodedPrompt(tuple(prompt))], Sampling(NEW, True))]
    return list(dict.fromkeys(names))
