"""Tiny pretrained models as folders, with tokenizers of their own, and a recipe that makes a pair of them."""

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig

from hybrid.models.architectures import new_model
from tests.models.tiny import FAMILIES
from tests.training.conftest import summaries, translations

TEXTS = ["one old red big house boat", "ein altes rotes großes Haus Boot", "English: German:"] * 4
END = "<|end|>"


def write_model(folder: Path, family: str, width: int = 32, layers: int = 3, seed: int = 0) -> Path:
    """A folder as the Hub has them: config.json, safetensors and a byte-level tokenizer."""
    import torch

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300 + seed, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_tokens([AddedToken(END, special=True)])
    torch.manual_seed(seed)
    ids = {"vocab_size": 320, "pad_token_id": 0, "eos_token_id": 0, "bos_token_id": 0}
    model = new_model(AutoConfig.for_model(family, **ids | FAMILIES[family](width, layers)))
    model.generation_config.eos_token_id = 0
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    about = {"eos_token": END, "pad_token": END, "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(about), "utf-8")
    return folder


RECIPE = """
name = "any"
seed = 3
output = "{folder}/out"
compile = false
log_every = 5
dev_every = 10
checkpoint_every = 10

[llm]
from = "{folder}/llm"

[slm]
{slm}

[hybrid]
layer = 2
standardize = true

[tasks.translate-en-de]
prefix = "English: "
suffix = "\\nGerman:"

[tasks.shorten]
label = "Shorten"
prefix = "Text: "
suffix = "\\nShort:"
languages = ["en", "en"]

[data]
max_source = 96
buckets = [[64, 48], [96, 64]]
row_tokens = 160
train = [
  {{ path = "{folder}/train.tsv", task = "translate-en-de", weight = 2.0 }},
  {{ path = "{folder}/train.jsonl", task = "shorten" }},
]
dev = [{{ path = "{folder}/dev.tsv", task = "translate-en-de" }}]

[[stages]]
name = "llm"
trains = "llm"
steps = 20
tokens_per_step = 640
optimizer = "adamw"
lr = 0.003
warmup_steps = 2
ema = 0.9

[[stages]]
name = "start"
trains = "slm"
steps = 10
tokens_per_step = 1024
warmup_steps = 2

[[stages]]
name = "slm"
trains = "slm"
starts_from = "start"
answers_of = "llm"
answers = 16
steps = 10
tokens_per_step = 1024
warmup_steps = 2

[[stages]]
name = "hybrid"
trains = "hybrid"
starts_from = "start"
reads_with = "llm"
layer = [1, 3]
answers_of = "llm"
answers = 16
steps = 10
tokens_per_step = 1024
warmup_steps = 2

[bundle]
llm = "llm"
slm = "slm"
hybrid = "hybrid"
"""

T5_WRITER = "vocab_size = 290\nd_model = 16\nd_ff = 32\nheads = 2\nd_kv = 8\nlayers = 1"


def write_recipe(folder: Path, slm: str = T5_WRITER, llm_family: str = "llama") -> Path:
    """Corpora, an LLM in {folder}/llm, and the recipe; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    write_model(folder / "llm", llm_family)
    (folder / "train.tsv").write_text(translations(100, 1), "utf-8")
    (folder / "train.jsonl").write_text(summaries(40, 3), "utf-8")
    (folder / "dev.tsv").write_text(translations(20, 4), "utf-8")
    path = folder / "recipe.toml"
    path.write_text(
        RECIPE.format(folder=folder.as_posix(), slm=slm.format(folder=folder.as_posix())), "utf-8"
    )
    return path
