"""Which pairs are here, and whether their files are whole: reads without torch.

A pair's manifest, pair.json, holds the SHA-256 of every file of the pair. A
right hash says that a file is the one that was written, not that it is sound:
whoever reads it checks the rest.
"""

import hashlib
import json
import stat
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hybrid.errors import PairError
from hybrid.format import listed, printable
from hybrid.models.pair_format import ROLES, AnyPair, Format, Manifest, OwnTask, Role
from hybrid.schema import MODELS, Model, Notice, Observer, PromptFormat, Task, silent, task_named
from hybrid.store.files import read_small
from hybrid.store.folders import data_folder, named_folder
from hybrid.store.typed_json import convert

BUNDLED = Path(__file__).parent / "zoo"
DEFAULT_PAIR = "en-de-49m-6m"  # of commands and pages where none is named; the others follow by name
MANIFEST = "pair.json"
FORMAT, ANY_PAIR = 1, 2  # see pair_format
RESTORE = "Restore it from the repository"
BLOCKS = ("encoder_layers", "num_hidden_layers", "n_layer", "num_layers")  # of a config.json, by family
LARGEST_JSON = 4 * 2**20  # bytes of a manifest or a config.json; real ones have some 2,000


def tasks_of(manifest: Mapping[str, Any]) -> dict[str, Task]:
    """Give the tasks of a pair by name, in the order of its manifest."""
    tasks = manifest["tasks"]
    if isinstance(tasks, Mapping):
        return {name: convert(OwnTask, own).task(name) for name, own in tasks.items()}
    return {name: task_named(name) for name in tasks}


def formats_of(manifest: Mapping[str, Any], role: Role) -> dict[str, PromptFormat] | None:
    """Give the format of each task's prompts for a model; None where tasks are asked by their words alone."""
    prompts = manifest.get("prompts")
    if prompts is None:
        return None
    formats = {name: asdict(convert(Format, own)) for name, own in prompts[role].items()}
    return {name: PromptFormat(**around) for name, around in formats.items()}


def models_of_pair(manifest: Mapping[str, Any]) -> tuple[Model, ...]:
    """Name the models that a pair has: its hybrid may not be trained yet."""
    counts = manifest["parameters"]
    return tuple(model for model in MODELS if counts.get(model) is not None)


def more_eos_ids(manifest: Mapping[str, Any], role: Role) -> tuple[int, ...]:
    """Give the ids that end a model's answer beside its tokenizer's end-of-sequence token."""
    return tuple(manifest.get("tokenizers", {}).get(role, {}).get("more_eos_ids", ()))


def one_tokenizer(manifest: Mapping[str, Any]) -> bool:
    """Tell whether both models of a pair have the same tokenizer, so that one can verify the other's ids."""
    tokenizers = manifest.get("tokenizers")
    if not tokenizers:
        return True
    hashes = {manifest["sha256"].get(tokenizers[role]["file"]) for role in ROLES}
    return len(hashes) == 1 and tokenizers["llm"]["eos"] == tokenizers["slm"]["eos"]


def zoos() -> tuple[Path, ...]:
    """Return the folders of pairs: HYBRID_ZOO alone, else the bundled pairs and the user's own."""
    own = named_folder("HYBRID_ZOO")
    return (own,) if own else (BUNDLED, user_zoo())


def user_zoo() -> Path:
    """Return where a user's own pairs lie: HYBRID_ZOO, else in the folder for data that the system names."""
    return named_folder("HYBRID_ZOO") or data_folder() / "pairs"


def available_pairs(root: Path | None = None, observer: Observer = silent) -> dict[str, dict[str, Any]]:
    """Manifests of the bundles under `root`, by name; what is damaged is left out.

    root: one folder of pairs; all of zoos() when None.
    observer: sent a Notice for each that is damaged.
    Raises PairError when there are some and all are damaged.
    """
    pairs, damages = {}, []
    for name, folder in _folders(root).items():
        try:
            pairs[name] = read_manifest(folder)
        except PairError as error:
            damages.append(error)
    if damages and not pairs:
        raise damages[0]
    for damage in damages:
        observer(Notice(sentence=str(damage)))
    return pairs


def is_pair(name: str) -> bool:
    """Tell whether zoos() have a pair of this name, damaged or not."""
    return name in _folders(None)


def find_pair(name: str | None, root: Path | None = None) -> tuple[Path, dict[str, Any]]:
    """Folder and manifest of a pair, the first one when no name is given. Raises PairError.

    root: one folder of pairs; all of zoos() when None.
    """
    folders = _folders(root)
    if not folders:
        raise PairError(f"There are no pairs in {listed([str(place) for place in _places(root)])}.")
    name = name or next(iter(folders))
    if name not in folders:
        raise PairError(f"There is no pair {name!r}; available: {', '.join(folders)}.")
    return folders[name], read_manifest(folders[name])


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read and check the manifest of the pair in `folder`. Raises PairError, naming what is wrong."""
    path = folder / MANIFEST
    manifest = _json_object(path)
    kinds: dict[Any, type] = {FORMAT: Manifest, ANY_PAIR: AnyPair}
    version = manifest.get("format")
    if type(version) is not int or version not in kinds:
        raise PairError(f"{path} has format {version!r:.40}; this version reads {FORMAT} and {ANY_PAIR}.")
    try:
        convert(kinds[version], manifest)
    except ValueError as error:
        raise PairError(f"{path} is damaged: {printable(str(error), 400)}. {RESTORE}.") from error
    for tokenizer in manifest.get("tokenizers", {}).values():
        if tokenizer["file"] not in manifest.get("sha256", {}):
            raise PairError(f"{path} lists no SHA-256 of {tokenizer['file']}. {RESTORE}.")
    return manifest


def read_config(folder: Path, relative: str, manifest: dict[str, Any]) -> dict[str, Any]:
    """Read a JSON object of a pair, once its hash is found right. Raises PairError, naming the file."""
    return _json_object(checked(folder, relative, manifest, LARGEST_JSON))


def layers_read(folder: Path, manifest: dict[str, Any]) -> tuple[int, ...]:
    """Return the numbers of the layers that a pair's hybrid reads; none for all, or without a hybrid.

    Raises PairError.
    """
    if "hybrid" not in models_of_pair(manifest):
        return ()
    layer = read_config(folder, "hybrid/config.json", manifest).get("layer")
    numbers = layer if isinstance(layer, list) else [] if layer is None else [layer]
    if not all(type(number) is int for number in numbers):
        raise PairError(f"{folder}/hybrid/config.json: layer is {layer!r:.40}, no number of a block.")
    return tuple(numbers)


def blocks_in(config: Mapping[str, Any]) -> int | None:
    """Count the blocks of what reads a prompt, by a config.json; None where it does not say."""
    reader = config.get("encoder", config)  # a T5Gemma's has one of its own
    return next((int(reader[key]) for key in BLOCKS if reader.get(key)), None)


def write_manifest(folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Hash every file of the bundle except cards, and write the manifest."""
    files = [
        p for p in sorted(folder.rglob("*")) if p.suffix in (".safetensors", ".json") and p.name != MANIFEST
    ]
    manifest = manifest | {"sha256": {p.relative_to(folder).as_posix(): file_sha256(p) for p in files}}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    return manifest


def checked(folder: Path, relative: str, manifest: Mapping[str, Any], limit: int | None = None) -> Path:
    """Return the path of a pair's file, once its hash is found right. Raises PairError, naming the file.

    limit: bytes that it may have. A link is followed, to a file: the hash is of what is read.
    """
    path, expected = folder / relative, manifest.get("sha256", {}).get(relative)
    if expected is None:
        raise PairError(
            f"{folder / MANIFEST} lists no SHA-256 of {relative}; restore it from the repository."
        )
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise PairError(f"{path} is no file but {_kind(about.st_mode)}. {RESTORE}.")
        if limit is not None and about.st_size > limit:
            raise PairError(f"{path} has {about.st_size:,} bytes, and it may have {limit:,}. {RESTORE}.")
        digest = file_sha256(path)
    except FileNotFoundError as error:
        raise PairError(f"{path} is missing; restore it from the repository.") from error
    except OSError as error:
        raise PairError(f"{path} cannot be read: {error.strerror or error}.") from error
    if digest != expected:
        raise PairError(
            f"{path} is damaged: its SHA-256 is {digest[:12]}…, expected {expected[:12]}…. {RESTORE}."
        )
    return path


def file_sha256(path: Path) -> str:
    """Compute the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _places(root: Path | None) -> tuple[Path, ...]:
    return zoos() if root is None else (root,)


def _folders(root: Path | None) -> dict[str, Path]:
    """Folders that hold a manifest, of whatever kind, by name; those that begin with a dot are being written.

    DEFAULT_PAIR stands first where it is. Of two pairs of one name the first is found: a user's own hides
    no bundled one.
    """
    folders: dict[str, Path] = {}
    for place in _places(root):
        for path in sorted(place.glob(f"*/{MANIFEST}"), key=_rank):
            if path.parent.name[0] != ".":
                folders.setdefault(path.parent.name, path.parent)
    return folders


def _rank(manifest: Path) -> tuple[bool, Path]:
    return manifest.parent.name != DEFAULT_PAIR, manifest


def _kind(mode: int) -> str:
    names = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket"}
    return next((name for test, name in names.items() if test(mode)), "a device")


def _json_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_small(path.resolve(), LARGEST_JSON))
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, or nested too deeply
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise PairError(f"{path} is damaged: {reason}. {RESTORE}.") from error
    except OSError as error:
        raise PairError(f"{path} cannot be read: {error.strerror or error}. {RESTORE}.") from error
    if not isinstance(content, dict):
        raise PairError(f"{path} is damaged: it is not a JSON object. {RESTORE}.")
    return content
