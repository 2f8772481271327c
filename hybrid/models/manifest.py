"""Which pairs are here, and whether their files are whole: reads without torch.

A pair's manifest, pair.json, holds the SHA-256 of every file of the pair.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from hybrid.errors import PairError

BUNDLED = Path(__file__).parent / "zoo"
MANIFEST = "pair.json"
FORMAT = 1


def zoo() -> Path:
    """Return the folder of bundles: the environment's HYBRID_ZOO, or the bundled one."""
    return Path(os.environ.get("HYBRID_ZOO", BUNDLED))


def available_pairs(root: Path | None = None) -> dict[str, dict[str, Any]]:
    """Manifests of the bundles under `root`, by name. Raises PairError when one cannot be read."""
    return {path.parent.name: _manifest(path) for path in sorted((root or zoo()).glob(f"*/{MANIFEST}"))}


def find_pair(name: str | None, root: Path) -> tuple[Path, dict[str, Any]]:
    """Folder and manifest of a pair, the first one when no name is given. Raises PairError."""
    pairs = available_pairs(root)
    if not pairs:
        raise PairError(f"There are no pairs in {root}.")
    name = name or next(iter(pairs))
    if name not in pairs:
        raise PairError(f"There is no pair {name!r}; available: {', '.join(pairs)}.")
    folder, manifest = root / name, pairs[name]
    if manifest.get("format") != FORMAT:
        raise PairError(
            f"{folder / MANIFEST} has format {manifest.get('format')!r}; this version reads {FORMAT}."
        )
    return folder, manifest


def write_manifest(folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Hash every file of the bundle except cards, and write the manifest."""
    files = [
        p for p in sorted(folder.rglob("*")) if p.suffix in (".safetensors", ".json") and p.name != MANIFEST
    ]
    manifest = manifest | {"sha256": {p.relative_to(folder).as_posix(): file_sha256(p) for p in files}}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    return manifest


def checked(folder: Path, relative: str, manifest: dict[str, Any]) -> Path:
    """Return the path of a pair's file, once its hash is found right. Raises PairError, naming the file."""
    path, expected = folder / relative, manifest.get("sha256", {}).get(relative)
    if expected is None:
        raise PairError(
            f"{folder / MANIFEST} lists no SHA-256 of {relative}; restore it from the repository."
        )
    if not path.is_file():
        raise PairError(f"{path} is missing; restore it from the repository.")
    found = file_sha256(path)
    if found != expected:
        raise PairError(
            f"{path} is damaged: its SHA-256 is {found[:12]}…, expected {expected[:12]}…. "
            "Restore it from the repository."
        )
    return path


def file_sha256(path: Path) -> str:
    """Compute the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text("utf-8-sig"))
    except ValueError as error:  # not JSON, or not UTF-8
        raise PairError(f"{path} is damaged: {error}. Restore it from the repository.") from error
    if not isinstance(manifest, dict):
        raise PairError(f"{path} is damaged: it is not a JSON object. Restore it from the repository.")
    return manifest
