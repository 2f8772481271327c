"""Writing a pair to disk, as bundle reads it: whole, or not at all. A user's own are added and removed."""

import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from hybrid.errors import PairError
from hybrid.format import listed
from hybrid.models.context import positions_in
from hybrid.models.manifest import ANY_PAIR, MANIFEST, available_pairs, user_zoo, write_manifest
from hybrid.models.pair_files import save_weights
from hybrid.models.pair_format import ROLES, AnyPair, Role
from hybrid.models.prompt_formats import answer_end, prompt_format
from hybrid.models.references import Checkpoint, resolve
from hybrid.schema import (
    MODELS,
    TASKS,
    Model,
    Notice,
    Observer,
    PromptFormat,
    Status,
    Task,
    silent,
    task_named,
)
from hybrid.store.files import open_folder_atomic
from hybrid.store.typed_json import convert

TOKENIZER, CARD = "tokenizer.json", "README.md"
# In a card that is written anew with its pair.
GENERATED = (
    "<!-- Written by `hybrid train`, and anew by the next; a card without this line is kept as it is. -->"
)
NAME = re.compile(r"[0-9A-Za-z][\w.-]{0,99}")
PROMPT_TOKENS = 1024  # of a pair that says nothing else; fewer where a model reads fewer
ANSWER_TOKENS = 128  # that fit behind the longest prompt, where both share a context
FEWEST_PROMPT_TOKENS = 16
# Ends of the names of transformers' classes that write.
WRITERS = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel", "MTModel")


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
    write_cards: Callable[[Path, Mapping[str, Any]], None] = lambda folder, manifest: None,
) -> dict[str, Any]:
    """Write any pair, in the place of an older one; return its manifest.

    models: the LLM and the SLM, each in memory or a checkpoint, which is referred to and not
        copied; and the hybrid, unless there is none yet. about: stored beside it. write_cards: writes
        README.md into the new folder and those of its models, from the manifest.
    Cards of the older one stay, but for those that have GENERATED. Raises PairError for tasks that no
    pair can have, OSError or SafetensorError; the older one then stays.
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
        convert(AnyPair, manifest)
    except ValueError as error:
        raise PairError(f"The pair {folder.name} cannot be written: {error}.") from error
    with _folder(folder) as new:
        for role, model in models.items():
            _write_model(new / role, model)
        for role, file in files.items():
            (new / file).write_bytes(texts[role].tokenizer.read_bytes())
        manifest = write_manifest(new, manifest)
        write_cards(new, manifest)
        return manifest


def _tokenizer(file: str, texts: ModelTexts) -> dict[str, Any]:
    more = {"more_eos_ids": list(texts.more_eos_ids)} if texts.more_eos_ids else {}
    return {"file": file, "eos": texts.eos, "pad": texts.pad} | more


@contextmanager
def _folder(folder: Path) -> Iterator[Path]:
    """Open the folder of a new pair; cards of the older one are taken over."""
    with open_folder_atomic(folder) as new:
        yield new
        for card in (place for name in (".", *MODELS) if (place := folder / name / CARD).is_file()):
            if (
                new / card.relative_to(folder)
            ).parent.is_dir() and GENERATED.encode() not in card.read_bytes():
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


def add_pair(
    name: str,
    llm: str,
    slm: str,
    tasks: Iterable[Task] = tuple(TASKS.values()),
    max_prompt_tokens: int | None = None,
    observer: Observer = silent,
) -> Path:
    """Make a pair whose hybrid does not exist yet, of two references; return its folder.

    The models are downloaded where they are on the Hub, looked at, hashed, and referred to:
    nothing of their weights is copied. max_prompt_tokens: longest prompt; PROMPT_TOKENS, or
    what both models can read, when None. Raises PairError; then nothing is left behind.
    """
    folder = user_zoo() / name
    if not NAME.fullmatch(name):
        raise PairError(f"{name[:80]!r} is no name of a pair; take letters, digits, dots, - and _.")
    if name in available_pairs() or folder.exists():
        raise PairError(
            f"There is a pair {name} already; take another name, or `hybrid pairs remove {name}`."
        )
    parts: dict[Role, Checkpoint] = {}
    for role, reference in zip(ROLES, (llm, slm), strict=True):
        observer(Status(sentence=f"Looking at {reference}"))
        parts[role] = resolve(reference, observer, role)
        _check_writes(parts[role], role)
    limit = _prompt_limit(parts, max_prompt_tokens)
    tasks = tuple(tasks)
    texts = {role: texts_of(checkpoint, tasks) for role, checkpoint in parts.items()}
    for sentence in _kept_words(parts.values(), tasks):
        observer(Notice(sentence=sentence))
    about = {"made_by": "hybrid pairs add", "licence": {role: part.licence for role, part in parts.items()}}
    observer(Status(sentence="Hashing the files of both models"))
    try:
        save_pair(folder, texts, tasks, dict(parts.items()), limit, about)
    except OSError as error:
        raise PairError(f"{folder} cannot be written: {error.strerror or error}.") from error
    return folder


def remove_pair(name: str) -> Path:
    """Delete a user's own pair, damaged or not; models that it only refers to stay. Raises PairError."""
    folder = user_zoo() / name
    if not NAME.fullmatch(name) or not (folder / MANIFEST).exists():
        if name in available_pairs():
            raise PairError(
                f"{name} came with the product and is not removed; a user's own lie in {user_zoo()}."
            )
        own = sorted(path.parent.name for path in user_zoo().glob(f"*/{MANIFEST}"))
        raise PairError(f"There is no pair {name[:80]!r} to remove; your own are: {listed(own) or 'none'}.")
    gone = folder.with_name(f".{name}.removed")  # a name that begins with a dot is no pair's
    try:
        shutil.rmtree(gone, ignore_errors=True)
        folder.replace(gone)
        shutil.rmtree(gone)
    except OSError as error:
        raise PairError(f"{folder} cannot be removed: {error.strerror or error}.") from error
    return folder


def _kept_words(checkpoints: Iterable[Checkpoint], tasks: Sequence[Task]) -> Iterator[str]:
    """Say of which tasks a pair's own model keeps the words that it was trained with, beside others."""
    for checkpoint, task in product(checkpoints, tasks):
        own, usual = checkpoint.formats.get(task.name), task_named(task.name)
        stated = (task.prefix, task.suffix) != (usual.prefix, usual.suffix)
        if own and stated and not (own.before.endswith(task.prefix) and own.after.startswith(task.suffix)):
            yield f"{checkpoint.reference} keeps the words for {task.name} that it was trained with."


def _check_writes(checkpoint: Checkpoint, role: str) -> None:
    """Raise PairError for a model that only reads: alone it answers nothing."""
    names = checkpoint.config.get("architectures") or ()
    if names and not any(str(name).endswith(WRITERS) for name in names):
        raise PairError(
            f"{checkpoint.reference} is a {listed([*map(str, names)], 2)}, which only reads, "
            f"and the {role.upper()} of a pair without a hybrid has to write; `hybrid train RECIPE` makes a "
            "hybrid with it."
        )


def _prompt_limit(parts: Mapping[Role, Checkpoint], tokens: int | None) -> int:
    """Return the longest prompt that both models read. Raises PairError when more `tokens` are asked for."""
    limits = {checkpoint.reference: _readable(checkpoint.config) for checkpoint in parts.values()}
    known = {reference: limit for reference, limit in limits.items() if limit is not None}
    shortest = min(known, key=lambda reference: known[reference], default="")
    most = known.get(shortest, 2**20)
    if tokens is not None and tokens > most:
        raise PairError(
            f"Prompts of {tokens:,} tokens are longer than {shortest} reads: {most:,}, with room for an "
            f"answer of {ANSWER_TOKENS}; take {most:,} or less."
        )
    usual = [part.longest_prompt or part.config.get("n_positions") for part in parts.values()]
    limit = tokens or min(PROMPT_TOKENS, most, *(n for n in usual if type(n) is int))
    if limit < FEWEST_PROMPT_TOKENS:
        raise PairError(f"A prompt of {limit} tokens at the most has no room for a text.")
    return limit


def _readable(config: Mapping[str, Any]) -> int | None:
    """Return how long a prompt a model can read, with room for an answer; None where nothing bounds it."""
    length = positions_in(config)
    return length if length is None or config.get("is_encoder_decoder") else length - ANSWER_TOKENS
