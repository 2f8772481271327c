"""A model of a pair that is here, as a checkpoint that another pair may be made of."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hybrid.errors import PairError
from hybrid.models.manifest import available_pairs, checked, find_pair, formats_of, read_config, tasks_of
from hybrid.models.pair_format import ROLES, Role
from hybrid.models.references.checkpoint import (
    LARGEST_TOKENIZER,
    TOKENIZER,
    Checkpoint,
    eos_ids,
    read_tokenizer,
    special_tokens,
    stated_licence,
)
from hybrid.models.references.configs import checked_config
from hybrid.models.references.folder import FLOATS, read_header
from hybrid.schema import Observer, PromptFormat

SCALE = ".int8_scale"  # as weight_files.SCALE_SUFFIX, which needs torch


def read_pair_model(name: str, role: Role, observer: Observer) -> Checkpoint:
    """Look at a model of a pair. Raises PairError, naming the file."""
    folder, manifest = find_pair(name)
    about = manifest.get(role)
    if isinstance(about, dict) and "reference" in about:
        return _referred(name, role, about, observer)
    config = checked_config(
        read_config(folder, f"{role}/config.json", manifest), f"{folder / role}/config.json"
    )
    files = sorted(
        file for file in manifest["sha256"] if file.startswith(f"{role}/") and file.endswith(".safetensors")
    )
    tensors = {
        tensor: shape
        for file in files
        for tensor, shape in read_header(folder / file, (*FLOATS, "I8")).items()
        if not tensor.endswith(SCALE)
    }
    own = manifest.get("tokenizers", {}).get(role, {"file": TOKENIZER})
    path = checked(folder, own["file"], manifest, LARGEST_TOKENIZER)
    named = {f"{token}_token": own.get(token) for token in ("eos", "pad")}
    tokenizer = read_tokenizer(path, int(config.get("vocab_size", 0)), f"{name}/{role}")
    texts = special_tokens(tokenizer, config, named)
    return Checkpoint(
        reference=f"{name}/{role}",
        kind="bundle",
        folder=folder / role,
        config=config,
        weight_files=tuple(Path(file).name for file in files),
        tensors=tensors,
        tokenizer_file=path,
        special_tokens=texts,
        eos_ids=eos_ids(config),
        licence=stated_licence(folder / role / "README.md"),
        formats=formats_of(manifest, role) or _plain_formats(manifest, texts.get("eos_token", "")),
        longest_prompt=int(manifest["max_prompt_tokens"]),
    )


def _plain_formats(manifest: Mapping[str, Any], eos: str) -> dict[str, PromptFormat]:
    """Give the formats of a pair of the first format: a task's words, the text, and the end-of-sequence."""
    tasks = tasks_of(manifest).values()
    return {task.name: PromptFormat(task.prefix, task.suffix, eos=eos) for task in tasks}


def _referred(name: str, role: Role, about: Mapping[str, Any], observer: Observer) -> Checkpoint:
    from hybrid.models.references import check_unchanged, resolve

    reference, revision = str(about["reference"]), about.get("revision")
    pair, _, part = reference.partition("/")
    if part in (*ROLES, "") and pair in available_pairs() and find_pair(pair)[1].get(part or role):
        raise PairError(  # never written so: a circle would have no end
            f"The {role} of {name} refers to {reference}, which itself only refers to a model; make the pair "
            "anew."
        )
    checkpoint = resolve(f"{reference}@{revision}" if revision else reference, observer, role)
    check_unchanged(checkpoint, about.get("files", {}))
    return checkpoint
