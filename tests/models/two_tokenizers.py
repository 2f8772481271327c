"""A pair of format 2 for tests: one model reads with a tokenizer, a small one writes with another."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, PreTrainedModel

from hybrid.models.architectures import new_model
from hybrid.models.pair import Hybrid
from hybrid.models.writing import ModelTexts, save_pair
from hybrid.schema import TASKS, PromptFormat, Task
from tests.models.tiny import FAMILIES
from tests.models.tokenizer_kinds import gpt2, qwen, t5

OWN = "translate-de-fr"
TASKS_OF_PAIR = (
    Task(OWN, "Translate German to French", "Into French: ", "de", "fr", kind="translation"),
    Task("simplify", "Simplify", "Simplify: ", "en", "en", lines=True),
    Task("brief", "Summarize in Chinese", "In Chinese: ", "en", "zh", lines=True),
)
CHAT = PromptFormat("<|im_start|>user\nAnswer.\n", "<|im_end|>\n<|im_start|>assistant\n")
KINDS = {"llama": (qwen, "<|im_end|>", "<pad>"), "gpt2": (gpt2, "<|endoftext|>", "<|endoftext|>"),
         "t5": (t5, "</s>", "<pad>")}  # fmt: skip
ABOUT = {"note": "random weights"}
LIMIT = 60


def model_for(family: str, tokenizer: Tokenizer, width: int, seed: int, **settings: Any) -> PreTrainedModel:
    """A random model whose ids are those of a tokenizer, some rows beyond it unused."""
    torch.manual_seed(seed)
    rows = {"vocab_size": max(tokenizer.get_vocab().values()) + 9, "pad_token_id": 0, "eos_token_id": 1}
    config = AutoConfig.for_model(
        family, **FAMILIES[family](width, 2) | rows | {"bos_token_id": None} | settings
    )
    model = new_model(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=0.4) if weight.ndim == 2 else weight.uniform_(0.5, 1.5)
    return model


def texts_for(family: str, folder: Path) -> ModelTexts:
    make, eos, pad = KINDS[family]
    path = folder / f"{family}-tokenizer.json"
    make().save(str(path))
    ends = "</s>" if family == "t5" else ""
    formats = {
        task.name: CHAT if family == "llama" else PromptFormat(task.prefix, eos=ends)
        for task in TASKS_OF_PAIR
    }
    return ModelTexts(tokenizer=path, eos=eos, pad=pad, formats=formats)


def save_any_pair(folder: Path, llm: str = "llama", slm: str = "gpt2", **hybrid: Any) -> dict[str, Any]:
    """Write it, in float32 but for the int8 rows; hybrid: what HybridConfig takes."""
    texts = {"llm": texts_for(llm, folder.parent), "slm": texts_for(slm, folder.parent)}
    reads = model_for(llm, KINDS[llm][0](), 32, 1)
    writes, own = (model_for(slm, KINDS[slm][0](), 16, seed) for seed in (2, 3))
    pair = Hybrid.from_parts(reads, own, bridge=True, **hybrid)
    if pair.config.standardize:
        pair.projector.calibrate(torch.randn(50, 32) * 3 + 1)
    models = {"llm": reads, "slm": writes, "hybrid": pair.eval()}
    return save_pair(folder, texts, TASKS_OF_PAIR, models, LIMIT, ABOUT)


assert OWN not in TASKS
