"""A model of a pair that is here, as a checkpoint that another pair may be made of."""

from pathlib import Path
from typing import Any

from hybrid.models.manifest import checked, find_pair, read_config
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
from hybrid.schema import Observer

SCALE = ".int8_scale"  # as weight_files.SCALE_SUFFIX, which needs torch


def read_pair_model(name: str, role: str, observer: Observer) -> Checkpoint:
    """Look at a model of a pair. Raises PairError, naming the file."""
    folder, manifest = find_pair(name)
    about = manifest.get(role)
    if isinstance(about, dict) and "reference" in about:
        return _referred(about, observer)
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
    own = f"{role}/{TOKENIZER}"
    path = checked(folder, own if own in manifest["sha256"] else TOKENIZER, manifest, LARGEST_TOKENIZER)
    tokenizer = read_tokenizer(path, int(config.get("vocab_size", 0)), f"{name}/{role}")
    return Checkpoint(
        reference=f"{name}/{role}",
        kind="bundle",
        folder=folder / role,
        config=config,
        weight_files=tuple(Path(file).name for file in files),
        tensors=tensors,
        tokenizer_file=path,
        special_tokens=special_tokens(tokenizer, config),
        eos_ids=eos_ids(config),
        licence=stated_licence(folder / role / "README.md"),
    )


def _referred(about: dict[str, Any], observer: Observer) -> Checkpoint:
    from hybrid.models.references import check_unchanged, resolve

    revision = f"@{about['revision']}" if about.get("revision") else ""
    checkpoint = resolve(str(about["reference"]).partition("@")[0] + revision, observer)
    check_unchanged(checkpoint, about.get("files", {}))
    return checkpoint
