"""A pair's models in formats of other libraries: converted once, and kept in the user's cache folder.

<cache>/<library>/<weights>-<precision>-<version of what converts>/
    the library's files
    sha256                of these
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hybrid.engines.contract import EngineConfig
from hybrid.errors import EngineError
from hybrid.models.bundle import Bundle
from hybrid.schema import Model, Status
from hybrid.store.files import BESIDE, clear_stale, make_private
from hybrid.store.folders import cache_folder

CHECKSUMS = "sha256"
Loaded = TypeVar("Loaded")


def load_converted(
    config: EngineConfig,
    model: Model,
    library: tuple[str, str, str],
    convert: Callable[[Bundle, Path], None],
    load: Callable[[Path], Loaded],
) -> Loaded:
    """Load a model of the config's pair, from the cache or converted for it.

    library: its name as people call it, its folder in the cache, and the version of what converts.
    convert: writes the model of a bundle into a new folder, which `load` reads. Where nothing
    can be kept, or the weights will not come again, that is a temporary folder. Raises EngineError where
    that cannot be written either.
    """
    name, place, version = library

    def write(folder: Path) -> None:
        config.observer(Status(sentence=f"Converting the {model} for {name}"))
        convert(config.source.bundle([model]), folder)

    weights = config.source.weights_sha256(model)
    if weights is not None:
        root = cache_folder() / place
        folder = root / f"{weights[:32]}-{config.dtype}-{version}"
        try:
            _keep(folder, write, config)
            return load(folder)
        except OSError as error:
            reason = f"{root} cannot be used ({_reason(error)}); HYBRID_CACHE names another folder"
            config.observer(Status(sentence=reason))
    try:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "model"
            write(folder)
            return load(folder)
    except OSError as error:
        raise EngineError(
            f"The {model} cannot be converted for {name}: {tempfile.gettempdir()} cannot be written "
            f"({_reason(error)}); make room, or name folders on another disk with HYBRID_CACHE and TMPDIR."
        ) from error


def _keep(folder: Path, write: Callable[[Path], None], config: EngineConfig) -> None:
    """Put the converted model into `folder`, unless it lies there unharmed. Raises OSError when it cannot."""
    if folder.exists():
        if _checksums(folder) == _read(folder / CHECKSUMS):
            return
        config.observer(Status(sentence=f"{folder} is damaged and made anew"))
        shutil.rmtree(folder)
    make_private(folder.parent)
    clear_stale(folder.parent)
    with tempfile.TemporaryDirectory(BESIDE, ".", folder.parent) as beside:
        converted = Path(beside) / folder.name
        write(converted)
        (converted / CHECKSUMS).write_text(_checksums(converted), "utf-8")
        try:
            converted.rename(folder)
        except OSError:
            if not folder.exists():  # else another process was faster
                raise


def _reason(error: OSError) -> str:
    return error.strerror or str(error)  # numpy's has only a text


def _checksums(folder: Path) -> str:
    lines = []
    for path in sorted(path for path in folder.iterdir() if path.name != CHECKSUMS):
        with path.open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n")
    return "".join(lines)


def _read(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""
