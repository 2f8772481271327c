"""Writing a pair to disk, as bundle reads it: whole, or not at all."""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from hybrid.errors import PairError
from hybrid.models.chat import answer_end, prompt_format
from hybrid.models.manifest import ANY_PAIR, write_manifest
from hybrid.models.pair_format import AnyPair, Role, check_task_name
from hybrid.models.references import Checkpoint
from hybrid.models.weight_files import save_weights
from hybrid.schema import MODELS, Model, PromptFormat, Task
from hybrid.store.files import open_folder_atomic
from hybrid.store.typed_json import convert

TOKENIZER = "tokenizer.json"


@dataclass(frozen=True, kw_only=True)
class ModelTexts:
    """How one model of a pair reads and writes texts.

    tokenizer: its tokenizer.json. eos, pad: the tokens that end an answer, and fill what is shorter.
    formats: of its prompts, by task. more_eos_ids: that end an answer beside eos.
    """

    tokenizer: Path
    eos: str
    pad: str
    formats: Mapping[str, PromptFormat]
    more_eos_ids: tuple[int, ...] = ()


def texts_of(checkpoint: Checkpoint, tasks: Iterable[Task]) -> ModelTexts:
    """Make them for a pretrained model: its chat template, or its tokenizer, says how it is asked.

    Raises PairError for a template that cannot be used, or when no token ends an answer.
    """
    tokenizer = Tokenizer.from_file(str(checkpoint.tokenizer_file))
    template, tokens = checkpoint.chat_template, checkpoint.special_tokens
    formats = {
        task.name: checkpoint.formats.get(task.name) or prompt_format(tokenizer, task, template, tokens)
        for task in tasks
    }
    eos = answer_end(tokenizer, checkpoint.eos_ids, template, tokens)
    pad = tokens.get("pad_token", "")
    if tokenizer.token_to_id(pad) is None:
        pad = eos
    more = tuple(number for number in checkpoint.eos_ids if number != tokenizer.token_to_id(eos))
    return ModelTexts(
        tokenizer=checkpoint.tokenizer_file, eos=eos, pad=pad, formats=formats, more_eos_ids=more
    )


def save_pair(
    folder: Path,
    texts: Mapping[Role, ModelTexts],
    tasks: Iterable[Task],
    models: Mapping[Model, PreTrainedModel | Checkpoint],
    max_prompt_tokens: int,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Write any pair, in the place of an older one; return its manifest.

    models: the LLM and the SLM, each in memory or a checkpoint, which is referred to and not
        copied; and the hybrid, unless there is none yet. about: stored beside it.
    Cards (README.md) of the older one stay. Raises PairError for tasks whose names do not say what
    they translate, OSError or SafetensorError; the older one then stays.
    """
    own = {task.name: task for task in tasks}
    files = {role: TOKENIZER if _same(texts) else f"{role}/{TOKENIZER}" for role in texts}
    manifest: dict[str, Any] = {
        "format": ANY_PAIR,
        "name": folder.name,
        "tasks": {name: {k: v for k, v in asdict(task).items() if k != "name"} for name, task in own.items()},
        "max_prompt_tokens": max_prompt_tokens,
        "parameters": {role: _count(models[role]) for role in MODELS if role in models},
        "tokenizers": {role: _tokenizer(files[role], t) for role, t in texts.items()},
        "prompts": {
            role: {name: asdict(t.formats[name]) for name in own if name in t.formats}
            for role, t in texts.items()
        },
        "about": dict(about),
    }
    for role, model in models.items():
        if isinstance(model, Checkpoint):
            known = {"reference": model.reference.partition("@")[0] if model.revision else model.reference}
            manifest[role] = known | {"revision": model.revision, "files": dict(model.sha256)}
    try:
        for task in own.values():
            check_task_name(task)
        convert(AnyPair, manifest)
    except ValueError as error:
        raise PairError(f"The pair {folder.name} cannot be written: {error}.") from error
    with _folder(folder) as new:
        for role, model in models.items():
            _write_model(new / role, model)
        for role, file in files.items():
            (new / file).write_bytes(texts[role].tokenizer.read_bytes())
        return write_manifest(new, manifest)


def _tokenizer(file: str, texts: ModelTexts) -> dict[str, Any]:
    more = {"more_eos_ids": list(texts.more_eos_ids)} if texts.more_eos_ids else {}
    return {"file": file, "eos": texts.eos, "pad": texts.pad} | more


@contextmanager
def _folder(folder: Path) -> Iterator[Path]:
    """Open the folder of a new pair; cards of the older one are taken over."""
    with open_folder_atomic(folder) as new:
        yield new
        for card in (place for name in (".", *MODELS) if (place := folder / name / "README.md").is_file()):
            if (new / card.relative_to(folder)).parent.is_dir():
                shutil.copyfile(card, new / card.relative_to(folder))


def _write_model(folder: Path, model: PreTrainedModel | Checkpoint) -> None:
    folder.mkdir()
    settings = dict(model.config) if isinstance(model, Checkpoint) else model.config.to_diff_dict()
    config = json.dumps(settings, indent=1, sort_keys=True, default=str)
    (folder / "config.json").write_text(config + "\n", "utf-8")
    if not isinstance(model, Checkpoint):
        save_weights(folder, _own_weights(model))


def _count(model: PreTrainedModel | Checkpoint) -> int:
    """Count its parameters; of a hybrid those that are not the LLM's."""
    if isinstance(model, Checkpoint):
        return model.parameters
    return sum(tensor.numel() for tensor in _own_parameters(model).values())


def _own_weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Return the tensors to store: parameters, and buffers that are no result of the configuration."""
    stored = model.state_dict().keys()
    buffers = {name: buffer.detach().cpu() for name, buffer in model.named_buffers() if name in stored}
    return _own_parameters(model) | {n: b for n, b in buffers.items() if not n.startswith("llm.")}


def _own_parameters(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Return the parameters: tied copies once, and never the LLM inside a hybrid."""
    own: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, parameter in model.named_parameters():  # yields tied parameters once
        if not name.startswith("llm.") and id(parameter) not in seen:
            seen.add(id(parameter))
            own[name] = parameter.detach().cpu()
    return own


def _same(texts: Mapping[Role, ModelTexts]) -> bool:
    """Tell whether both models have one tokenizer."""
    first, second = texts["llm"], texts["slm"]
    return (
        first.tokenizer == second.tokenizer or first.tokenizer.read_bytes() == second.tokenizer.read_bytes()
    )
