"""A model of the Hugging Face Hub: told of before it is fetched, kept in the Hub's own cache.

Only what a model is made of is fetched: safetensors, configurations, tokenizer
and chat template. A download that is cut, or killed, is taken up again where it
was: files that are complete stay, of a large one the half that has come, and it
counts as whole once its SHA-256 is the one that the Hub states.
"""

import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from hybrid.errors import PairError
from hybrid.format import listed, printable, size
from hybrid.models.manifest import file_sha256
from hybrid.models.references.checkpoint import (
    CONFIG,
    GENERATION,
    TOKENIZER,
    TOKENIZER_CONFIG,
    Checkpoint,
    json_object,
)
from hybrid.models.references.configs import checked_config, refuse_code
from hybrid.models.references.folder import INDEX, WEIGHTS, read_folder, refuse_other_weights, shard_names
from hybrid.models.references.hub_client import (
    HALF,
    Meter,
    Unreachable,
    constants,
    endpoint,
    fetch_blob,
    plain_errors,
    progress_bar,
    quiet,
)
from hybrid.models.references.tokenizer_json import OLDER
from hybrid.schema import Notice, Observer

TIMEOUT_S = 10.0
STALE_S = 3600  # without a byte more; a connection that stands still that long is given up before
KEPT_S = 7 * 24 * STALE_S  # halves that are taken up again
SPARE_BYTES = 2**27  # that a download leaves free on the disk
LARGEST_INDEX = 64 * 2**20  # bytes; the index of a model of 100,000 tensors has some 10 million
COMMIT = re.compile("[0-9a-f]{40}")
TEXTS = (CONFIG, GENERATION, TOKENIZER, TOKENIZER_CONFIG, "special_tokens_map.json", "added_tokens.json",
         "chat_template.jinja", "chat_template.json", *OLDER)  # fmt: skip


@dataclass(frozen=True)
class _Listing:
    """What the Hub says of a model.

    commit: of all these files. sizes: in bytes, of each file in its main folder.
    blobs: what the cache calls the contents of each. sha256: of the large ones.
    """

    reference: str
    name: str
    commit: str
    licence: str
    sizes: Mapping[str, int]
    blobs: Mapping[str, str]
    sha256: Mapping[str, str]


def read_hub_model(
    name: str, revision: str | None, observer: Observer, gguf: str | None = None
) -> Checkpoint:
    """Look at a model of the Hub, fetched where the cache lacks it.

    revision: a branch, a tag or a commit; None for the main branch. gguf: the one file
    that is meant; None for what lies there in transformers' layout. Raises PairError.
    """
    reference = f"hub:{name}" + (f"/{gguf}" if gguf else "") + (f"@{revision}" if revision else "")
    offline = constants().HF_HUB_OFFLINE
    if offline or (revision and COMMIT.fullmatch(revision)):  # a commit never changes: nothing to ask
        cached = _cached(name, revision, reference, gguf)
        if cached is not None:
            return cached
    if offline:
        raise PairError(
            f"{reference} is not in the cache, and HF_HUB_OFFLINE forbids to fetch it; unset it, or name "
            "a folder."
        )
    try:
        listing = _listing(name, revision, reference)
    except Unreachable as error:
        cached = _cached(name, revision, reference, gguf)
        if cached is None:
            raise PairError(
                f"{reference} cannot be fetched ({error}), and it is not in the cache; try again, or name "
                "a folder."
            ) from error
        observer(
            Notice(sentence=f"The Hub cannot be reached ({error}); {reference} is taken from the cache.")
        )
        return cached
    if gguf:
        return _of_gguf(_download_gguf(listing, gguf, revision, observer), listing.commit, reference)
    folder = _download(listing, revision, observer)
    return read_folder(folder, reference, listing.commit, listing.licence)


def _of_gguf(path: Path, commit: str, reference: str) -> Checkpoint:
    from hybrid.models.references.gguf_file import read_gguf

    return replace(read_gguf(path, reference), revision=commit)


def _cached(name: str, revision: str | None, reference: str, gguf: str | None) -> Checkpoint | None:
    """Look at what the cache has of a model; None where it lacks a file."""
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(name, gguf or CONFIG, revision=revision)
    if not isinstance(cached, str):
        return None
    folder = Path(cached).parent
    if gguf:
        return _of_gguf(Path(cached), folder.name, reference)
    if not any((folder / file).exists() for file in (TOKENIZER, *OLDER)):
        return None
    names = [INDEX] if (folder / INDEX).exists() else [WEIGHTS]
    if names == [INDEX]:
        names += shard_names(json_object(folder / INDEX, LARGEST_INDEX), str(folder / INDEX))
    if not all((folder / file).exists() for file in names):
        return None
    return read_folder(folder, reference, folder.name)


def _listing(name: str, revision: str | None, reference: str) -> _Listing:
    from huggingface_hub import HfApi

    with plain_errors(name, reference):
        info = HfApi(endpoint=endpoint()).model_info(
            name, revision=revision, files_metadata=True, timeout=TIMEOUT_S
        )
    stated = info.card_data.get("license") if info.card_data else None
    licence = ", ".join(map(str, stated)) if isinstance(stated, list) else str(stated or "")
    files = [file for file in info.siblings or () if "/" not in file.rfilename]
    return _Listing(
        reference,
        name,
        str(info.sha),
        printable(licence),
        sizes={file.rfilename: int(file.size or 0) for file in files},
        blobs={file.rfilename: file.lfs.sha256 if file.lfs else str(file.blob_id) for file in files},
        sha256={file.rfilename: file.lfs.sha256 for file in files if file.lfs},
    )


def _download_gguf(listing: _Listing, file: str, revision: str | None, observer: Observer) -> Path:
    """Fetch one file, unless the cache has it; return its path. Raises PairError."""
    if file not in listing.sizes:
        known = sorted(name for name in listing.sizes if name.endswith(".gguf"))
        raise PairError(f"hub:{listing.name} has no {file}; its GGUF files are {listed(known, 8) or 'none'}.")
    _fetch_missing(listing, [file], _snapshot(listing), revision, observer)
    return _snapshot(listing) / file


def _snapshot(listing: _Listing) -> Path:
    """Return the folder of the commit in the cache; it need not exist."""
    folder = f"models--{listing.name.replace('/', '--')}"
    return Path(constants().HF_HUB_CACHE) / folder / "snapshots" / listing.commit


def _download(listing: _Listing, revision: str | None, observer: Observer) -> Path:
    """Fetch what the cache lacks; return the folder of the commit. Raises PairError."""
    if CONFIG not in listing.sizes or not {INDEX, WEIGHTS} & listing.sizes.keys():
        refuse_other_weights([*listing.sizes], listing.reference)
    first = [file for file in (CONFIG, TOKENIZER_CONFIG, INDEX) if file in listing.sizes]
    for file in first:  # small, and they may be the reason to refuse the rest
        folder = _fetch(listing, file).parent
    checked_config(json_object(folder / CONFIG), f"{CONFIG} of {listing.reference}")
    if TOKENIZER_CONFIG in first:
        refuse_code(json_object(folder / TOKENIZER_CONFIG), f"{TOKENIZER_CONFIG} of {listing.reference}")
    shards = shard_names(json_object(folder / INDEX, LARGEST_INDEX), INDEX) if INDEX in first else (WEIGHTS,)
    files = [file for file in listing.sizes if file in TEXTS or file in shards]
    _fetch_missing(listing, files, folder, revision, observer)
    return folder


def _fetch_missing(
    listing: _Listing, files: list[str], folder: Path, revision: str | None, observer: Observer
) -> None:
    """Fetch those of `files` that `folder` lacks, licence and size being told first. Raises PairError."""
    missing = [file for file in files if not (folder / file).exists()]
    if not missing:
        return
    blobs = folder.parents[1] / "blobs"
    _clear(blobs)
    needed = [file for file in missing if not (blobs / listing.blobs[file]).exists()]
    if needed:
        _tell_and_check(listing, files, needed, observer)
    _fetch_all(listing, missing, needed, observer)
    _fetch(listing, files[0], revision=revision or "main")  # notes down which commit that is


def _clear(blobs: Path) -> None:
    """Remove halves of files that nobody goes on with: huggingface_hub's, and after a week our own."""
    for half in blobs.glob("*.incomplete"):
        with suppress(OSError):
            lifetime_s = KEPT_S if half.name.endswith(HALF) else STALE_S
            if time.time() - half.stat().st_mtime > lifetime_s:
                half.unlink()


def _tell_and_check(listing: _Listing, files: list[str], needed: list[str], observer: Observer) -> None:
    """Tell licence and size. Raises PairError when the disk has no room."""
    whole, part = (sum(listing.sizes[file] for file in names) for names in (files, needed))
    amount = f"{size(part)} of its {size(whole)} are" if part < whole else f"{size(whole)} are"
    cache = Path(constants().HF_HUB_CACHE)
    licence = listing.licence or "not stated"
    observer(
        Notice(
            sentence=f"{listing.reference}, licence {licence}, commit {listing.commit[:12]}: {amount} "
            f"fetched into {cache}."
        )
    )
    place = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if free < part + SPARE_BYTES:
        raise PairError(
            f"{listing.reference} takes {size(part)}, and {cache} has {size(free)} free; make room, or set "
            "HF_HOME to a folder on another disk."
        )


def _fetch_all(listing: _Listing, files: list[str], needed: list[str], observer: Observer) -> None:
    """Fetch files, small ones first. Raises PairError."""
    meter = Meter(sum(listing.sizes[file] for file in needed), listing.reference, observer)
    for file in sorted(files, key=lambda file: listing.sizes[file]):
        expected = listing.sha256.get(file) if file in needed else None
        if not expected:
            _fetch(listing, file, meter)
        elif not _fetch_large(listing, file, meter):
            raise PairError(
                f"{file} of {listing.reference} did not come as the Hub states it, with the SHA-256 "
                f"{expected[:12]}…; it was deleted: ask again."
            )


def _fetch_large(listing: _Listing, file: str, meter: Meter) -> bool:
    """Fetch a file whose SHA-256 the Hub states; False, and nothing is left, when other bytes came."""
    if listing.sizes[file] <= constants().MAX_HTTP_DOWNLOAD_SIZE:
        blob = _snapshot(listing).parents[1] / "blobs" / listing.blobs[file]
        with _fetching(listing):
            if not fetch_blob(listing.name, file, listing.commit, blob, listing.sizes[file], meter):
                return False
        _fetch(listing, file)  # links it
        return True
    path = _fetch(listing, file, meter)  # by hf_xet, which begins anew
    if file_sha256(path) == listing.sha256[file]:
        return True
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    return False


def _fetch(listing: _Listing, file: str, meter: Meter | None = None, revision: str | None = None) -> Path:
    """Fetch one file, or find it in the cache; return its path. Raises PairError."""
    from huggingface_hub import hf_hub_download

    with _fetching(listing):
        return Path(
            hf_hub_download(
                listing.name,
                file,
                revision=revision or listing.commit,
                endpoint=endpoint(),
                tqdm_class=progress_bar(meter),
            )
        )


@contextmanager
def _fetching(listing: _Listing) -> Iterator[None]:
    """Turn every failure into a PairError."""
    try:
        with plain_errors(listing.name, listing.reference), quiet():
            yield
    except Unreachable as error:
        raise PairError(
            f"{listing.reference} was not fetched whole ({error}); ask again: it goes on where it stopped."
        ) from error
