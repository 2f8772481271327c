"""A user's own pairs: one is added by naming two models, and removed again."""

import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hybrid.errors import PairError
from hybrid.format import listed
from hybrid.models.manifest import MANIFEST, available_pairs, user_zoo
from hybrid.models.pair_format import ROLES, Role
from hybrid.models.references import Checkpoint, resolve
from hybrid.models.writing import save_pair, texts_of
from hybrid.schema import TASKS, Observer, Status, Task, silent

NAME = re.compile(r"[0-9A-Za-z][\w.-]{0,99}")
PROMPT_TOKENS = 1024  # of a pair that says nothing else; fewer where a model reads fewer
ANSWER_TOKENS = 128  # that fit behind the longest prompt, where both share a context
FEWEST_PROMPT_TOKENS = 16
RELATIVE = ("t5", "mt5", "umt5", "longt5", "switch_transformers")  # whose positions have no end
# Ends of the names of transformers' classes that write.
WRITERS = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel", "MTModel")


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


def _check_writes(checkpoint: Checkpoint, role: str) -> None:
    """Raise PairError for a model that only reads: alone it answers nothing."""
    names = checkpoint.config.get("architectures") or ()
    if names and not any(str(name).endswith(WRITERS) for name in names):
        raise PairError(
            f"{checkpoint.reference} is a {listed([*map(str, names)], 2)}, which only reads, "
            f"and the {role.upper()} of a pair without a hybrid has to write; `hybrid train RECIPE` makes a "
            "hybrid with it."
        )


def _prompt_limit(parts: Mapping[Role, Checkpoint], wanted: int | None) -> int:
    """Return the longest prompt that both models read. Raises PairError when more is wanted."""
    limits = {checkpoint.reference: _readable(checkpoint.config) for checkpoint in parts.values()}
    known = {reference: limit for reference, limit in limits.items() if limit is not None}
    shortest = min(known, key=lambda reference: known[reference], default="")
    most = known.get(shortest, 2**20)
    if wanted is not None and wanted > most:
        raise PairError(
            f"Prompts of {wanted:,} tokens are longer than {shortest} reads: {most:,}, with room for an "
            f"answer of {ANSWER_TOKENS}; take {most:,} or less."
        )
    usual = [part.longest_prompt or part.config.get("n_positions") for part in parts.values()]
    limit = wanted or min(PROMPT_TOKENS, most, *(n for n in usual if type(n) is int))
    if limit < FEWEST_PROMPT_TOKENS:
        raise PairError(f"A prompt of {limit} tokens at the most has no room for a text.")
    return limit


def _readable(config: Mapping[str, Any]) -> int | None:
    """Return how long a prompt a model can read; None where its positions are relative, as T5's are."""
    if config.get("model_type") in RELATIVE:
        return None
    length = config.get("max_position_embeddings") or config.get("n_positions")
    if type(length) is not int:
        return None
    return length if config.get("is_encoder_decoder") else length - ANSWER_TOKENS
