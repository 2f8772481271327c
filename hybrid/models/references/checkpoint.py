"""What is known of one model before its weights are read: files, sizes, tokenizer, licence. Imports no torch.

Whatever is read may be anybody's: each file has a limit, a pickle is never
opened, and code that a model brings along is never run.
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hybrid.errors import PairError
from hybrid.format import printable
from hybrid.models.manifest import LARGEST_JSON, file_sha256
from hybrid.schema import PromptFormat
from hybrid.store.files import atomic_write, read_small
from hybrid.store.folders import cache_folder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CONFIG, GENERATION = "config.json", "generation_config.json"
TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
LARGEST_TOKENIZER = 64 * 2**20  # bytes; the largest in use, of 256,000 entries, has some 35 million
LARGEST_TEMPLATE = 2**20  # bytes of a chat template; real ones have some 4,000
NOTED_BYTES = 2**26  # a smaller file is read anew: that takes a twentieth of a second
SPECIAL_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")
LICENCE = re.compile(r"^licen[cs]e:\s*['\"]?([\w.+ -]+?)['\"]?\s*$", re.MULTILINE)  # in a card's front matter


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model as files on this machine, all of them looked at and none of the weights read.

    reference: what it was asked by. revision: the Hub's commit, empty of local files.
    kind: how its weights lie: safetensors and gguf as anybody's, bundle as those of a pair here.
    config: of config.json, checked. weight_files: names in `folder`.
    tensors: the shape of each, by its name in the files. tokenizer_file: a
    tokenizer.json. special_tokens: text of bos_token, eos_token, pad_token and unk_token,
    of those that there are. chat_template: empty when it has none. eos_ids: what ends
    an answer. licence: as its source states it, empty when it states none. formats: of
    its prompts by task, and longest_prompt, in tokens: where a pair here says how its own model is asked.
    """

    reference: str
    revision: str = ""
    kind: Literal["safetensors", "gguf", "bundle"] = "safetensors"
    folder: Path
    config: Mapping[str, Any]
    weight_files: tuple[str, ...]
    tensors: Mapping[str, tuple[int, ...]] = field(repr=False)
    tokenizer_file: Path
    tokenizer_config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    special_tokens: Mapping[str, str] = field(default_factory=dict)
    chat_template: str = field(default="", repr=False)
    eos_ids: tuple[int, ...] = ()
    licence: str = ""
    formats: Mapping[str, PromptFormat] = field(default_factory=dict, repr=False)
    longest_prompt: int | None = None

    @property
    def family(self) -> str:
        """Name transformers' model_type."""
        return str(self.config.get("model_type"))

    @property
    def parameters(self) -> int:
        """Count the values of all its tensors."""
        return sum(map(prod, self.tensors.values()))

    @cached_property
    def sha256(self) -> dict[str, str]:
        """SHA-256 of config.json, tokenizer and weights, by file; a second or more a GB, the first time.

        Not of a tokenizer.json that was made of something else: another version makes another one.
        """
        names = ((CONFIG,) if (self.folder / CONFIG).is_file() else ()) + self.weight_files
        paths = {name: self.folder / name for name in names}
        if cache_folder() not in self.tokenizer_file.parents:
            paths[TOKENIZER] = self.tokenizer_file
        try:
            return {name: noted_sha256(path) for name, path in paths.items()}
        except OSError as error:
            raise PairError(f"{error.filename} cannot be read: {error.strerror or error}.") from error


def check_unchanged(checkpoint: Checkpoint, files: Mapping[str, str]) -> None:
    """Raise PairError when a file is not the one whose SHA-256 `files` has, by name."""
    for name, expected in files.items():
        digest = checkpoint.sha256.get(name)
        if digest is None:
            raise PairError(f"{checkpoint.reference} has no {name} any more, and the pair was made with one.")
        if digest != expected:
            raise PairError(
                f"{name} of {checkpoint.reference} has changed since the pair was made: its SHA-256 is "
                f"{digest[:12]}…, expected {expected[:12]}…; restore it, or make the pair anew."
            )


def noted_sha256(path: Path) -> str:
    """Compute the SHA-256 of a file; of a large one it is noted down, until the file is another one.

    Raises OSError.
    """
    about = path.stat()
    if about.st_size < NOTED_BYTES:
        return file_sha256(path)
    place = sha256(str(path.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    note = cache_folder() / "hashes" / f"{place}.json"
    state = [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]
    with suppress(OSError, ValueError):
        known = json.loads(note.read_bytes())
        if isinstance(known, list) and known[:-1] == state:
            return str(known[-1])
    digest = file_sha256(path)
    with suppress(OSError):  # the cache need not be writable
        note.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(note, json.dumps([*state, digest]).encode())
    return digest


def json_object(path: Path, limit: int = LARGEST_JSON) -> dict[str, Any]:
    """Read a JSON object. Raises PairError, naming the file."""
    try:
        content = json.loads(read_small(path.resolve(), limit))
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, or nested too deeply
        raise PairError(f"{path} cannot be read: {printable(str(error), 200)}.") from error
    except OSError as error:
        raise PairError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not isinstance(content, dict):
        raise PairError(f"{path} cannot be read: it is not a JSON object.")
    return content


def optional_object(path: Path, limit: int = LARGEST_JSON) -> dict[str, Any]:
    """Read a JSON object that need not be there; empty where it is not. Raises PairError."""
    return json_object(path, limit) if path.is_file() else {}


def special_tokens(
    tokenizer: "Tokenizer", config: Mapping[str, Any], *sources: Mapping[str, Any]
) -> dict[str, str]:
    """Find the texts of the special tokens, in the first of `sources` that names each.

    Where none does, the text of the id that `config` has: of bos_token that of bos_token_id.
    """
    texts: dict[str, str] = {}
    for name in SPECIAL_TOKENS:
        for source in sources:
            token = source.get(name)
            text = token.get("content") if isinstance(token, dict) else token
            if isinstance(text, str) and text:
                texts.setdefault(name, text)
        number = eos_ids({"eos_token_id": config.get(f"{name}_id")})[:1]
        if name not in texts and number and (known := tokenizer.id_to_token(number[0])):
            texts[name] = known
    return texts


def eos_ids(*sources: Mapping[str, Any]) -> tuple[int, ...]:
    """Find the ids that end an answer, in the first of `sources` that names any."""
    for source in sources:
        ids = source.get("eos_token_id")
        numbers = tuple(n for n in (ids if isinstance(ids, list) else [ids]) if type(n) is int and n >= 0)
        if numbers:
            return numbers
    return ()


def chat_template(folder: Path, tokenizer_config: Mapping[str, Any]) -> str:
    """Read the chat template, from a file of its own or of the tokenizer; empty where there is none."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        try:
            return read_small(path.resolve(), LARGEST_TEMPLATE).decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PairError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    template = optional_object(folder / "chat_template.json").get("chat_template")
    template = template or tokenizer_config.get("chat_template")
    if isinstance(template, list):  # several, by name
        rows = [row for row in template if isinstance(row, dict)]
        template = next((row.get("template") for row in rows if row.get("name") == "default"), None)
    return template if isinstance(template, str) else ""


def stated_licence(card: Path) -> str:
    """Read the licence in the front matter of a model card; empty where none is stated."""
    if not card.is_file():
        return ""
    try:
        text = read_small(card.resolve(), LARGEST_JSON).decode("utf-8", "replace")
    except OSError:
        return ""
    front = text.split("\n---", 1)[0] if text.startswith("---") else ""
    match = LICENCE.search(front)
    return printable(match[1]) if match else ""


def read_tokenizer(path: Path, rows: int, what: str) -> "Tokenizer":
    """Read a tokenizer.json. rows: of the model's embeddings. what: the model, in the message.

    Raises PairError when it cannot be read, or has an id that the embeddings have no row for.
    """
    from tokenizers import Tokenizer

    if path.stat().st_size > LARGEST_TOKENIZER:
        raise PairError(f"{path} has {path.stat().st_size:,} bytes, and it may have {LARGEST_TOKENIZER:,}.")
    try:
        tokenizer = Tokenizer.from_file(str(path))
        largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0)
    except BaseException as error:  # tokenizers raises no class of its own, and panics beside Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise PairError(f"{path} is no tokenizer that can be read: {printable(str(error), 200)}.") from error
    if largest >= rows:
        raise PairError(
            f"The tokenizer of {what} does not fit its weights: its ids go up to {largest:,}, and the "
            f"embeddings have {rows:,} rows; take both from one checkpoint."
        )
    return tokenizer
