"""Archives of runs from elsewhere, and how they are refused."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from hybrid.errors import StoreError
from hybrid.store import import_archive


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def zipped(files: Mapping[str, bytes], folder: str = "", how: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", how) as archive:
        for name, data in files.items():
            archive.writestr(folder + name, data)
    return stream


def refused(root: Path, archive: io.BytesIO | bytes) -> str:
    """The sentence with which an archive is refused."""
    with pytest.raises(StoreError) as caught:
        import_archive(io.BytesIO(archive) if isinstance(archive, bytes) else archive, root)
    assert names(root) == []
    error = str(caught.value)
    assert ".import-" not in error  # where it was put aside is nobody's business
    return error
