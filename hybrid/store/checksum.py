"""The checksum at the end of what is stored: CRC-32 over all bytes before it, as eight hexadecimal digits.

It finds what a disk, a copy or a slip in an editor has changed: every burst of up to
32 bits, and of longer damage all but one in four billion (W. W. Peterson and D. T.
Brown, "Cyclic Codes for Error Detection", 1961). It is no protection against who means harm.
"""

from collections.abc import Sequence
from zlib import crc32

CHECKSUM = "crc32"  # its name, in run.json and as the last field of a line
_LINE = b',"crc32":"', b'"}'
_INDENTED = b',\n "crc32": "', b'"\n}'
_LAST_LINE = b'{"crc32":"', b'"}'
_NAMED = 3  # runs in a sentence; the rest are counted


def seal(data: bytes, indented: bool = False) -> bytes:
    """Add its checksum to an object that encode() wrote: one line, or indented by one for people."""
    key, end = _INDENTED if indented else _LINE
    body = data.rstrip().removesuffix(b"}").rstrip()
    return b"%s%s%08x%s\n" % (body, key, crc32(body), end)


def check_seal(data: bytes, indented: bool = False, required: bool = False) -> bool:
    """Tell whether it has a checksum. Raises ValueError where it does not fit, or `required` and missing."""
    key, end = _INDENTED if indented else _LINE
    body, separator, rest = data.rpartition(key)
    if not separator:
        if required:
            raise ValueError("it has lost its checksum")
        return False
    if rest.rstrip() != b"%08x%s" % (crc32(body), end):
        raise ValueError("its checksum does not fit: it was changed after it was written")
    return True


def last_line(checksum: int) -> bytes:
    """Write the line that ends a file of lines. checksum: crc32() of all before it."""
    key, end = _LAST_LINE
    return b"%s%08x%s\n" % (key, checksum, end)


def without_last_line(data: bytes) -> bytes:
    """Take last_line() off the bytes of a file. Raises ValueError where it is missing or does not fit."""
    body, separator, rest = data.rpartition(_LAST_LINE[0])
    if not separator:
        raise ValueError("it has lost its end")
    if separator + rest != last_line(crc32(body)):
        raise ValueError("its checksum does not fit: it was changed after it was written")
    return body


def unsealed_sentence(run_ids: Sequence[str]) -> str:
    """Say that these runs, at least one, were stored before there were checksums."""
    more = f" and {len(run_ids) - _NAMED} more" if len(run_ids) > _NAMED else ""
    runs = f"Runs {', '.join(run_ids[:_NAMED])}"
    which = f"Run {run_ids[0]} has" if len(run_ids) == 1 else f"{runs}{more} have"
    return (
        f"{which} no checksums, being stored by an earlier version: a digit that was changed since "
        "would go unnoticed."
    )
