"""A tokenizer.json of what a model has in its place, made once and kept in the cache."""

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hybrid.errors import PairError
from hybrid.format import listed, printable
from hybrid.store.files import atomic_write
from hybrid.store.folders import cache_folder

# Files that older checkpoints have in place of a tokenizer.json.
OLDER = ("vocab.json", "merges.txt", "vocab.txt", "spiece.model", "tokenizer.model",
         "sentencepiece.bpe.model", "source.spm", "target.spm")  # fmt: skip


def converted(folder: Path, reference: str) -> Path:
    """Make a tokenizer.json of a folder that has an older tokenizer. Raises PairError."""
    names = [name for name in OLDER if (folder / name).is_file()]
    if not names:
        raise PairError(
            f"{reference} has no tokenizer (tokenizer.json), so that no text can be given to it; "
            "save its tokenizer into the same folder."
        )
    digest = hashlib.sha256()
    for name in (*names, "tokenizer_config.json"):
        path = folder / name
        digest.update(path.read_bytes() if path.is_file() else b"")
    return cached_tokenizer(
        digest.hexdigest(), folder, f"{reference} has no tokenizer.json but {listed(names)}"
    )


def cached_tokenizer(
    key: str, folder: Path, what: str, gguf: str | None = None, count: int | None = None
) -> Path:
    """Return the tokenizer.json of this key, made by transformers where it is not in the cache.

    what: begins the message. gguf: the file in `folder` that has the tokenizer. count: of
    its tokens, where that is known. Raises PairError when it cannot be made.
    """
    path = cache_folder() / "tokenizers" / key[:32] / "tokenizer.json"
    if path.is_file():
        return path
    try:
        from transformers import AutoTokenizer

        more = {"gguf_file": gguf} if gguf else {}
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False, use_fast=True, **more
            )
        text = _without_strangers(tokenizer.backend_tokenizer.to_str(), count)
    except Exception as error:  # transformers and what it reads with raise what they like
        reason = printable((str(error).strip() or type(error).__name__).splitlines()[0], 200)
        raise PairError(f"{what}, of which no tokenizer.json can be made: {reason.rstrip('.')}.") from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, text.encode())
    except OSError as error:
        raise PairError(
            f"{path} cannot be written: {error.strerror or error}; make room, or name another "
            "folder with HYBRID_CACHE."
        ) from error
    return path


def _without_strangers(text: str, count: int | None) -> str:
    """Take out tokens beyond `count`: transformers adds those that its classes usually have."""
    if count is None:
        return text
    state = json.loads(text)
    state["added_tokens"] = [token for token in state["added_tokens"] if token["id"] < count]
    return json.dumps(state, ensure_ascii=False)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from drawing bars and from reporting on what it reads."""
    from transformers.utils import logging as transformers_logging

    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
