"""Events as JSON lines: what a benchmark's process writes and whoever watches it reads."""

import json
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import get_args

from hybrid.errors import StoreError
from hybrid.schema import Event
from hybrid.store.files import open_regular
from hybrid.store.typed_json import convert

_KINDS: dict[str, type[Event]] = {kind.__name__: kind for kind in get_args(Event)}
_EVENT = "event"  # the key that names the kind


def encode_event(event: Event) -> bytes:
    return json.dumps({_EVENT: type(event).__name__, **asdict(event)}).encode() + b"\n"


def decode_event(line: bytes) -> Event:
    """Decode a line into its event. Raises ValueError for what is no event that this version knows."""
    try:
        row = json.loads(line)
        return convert(_KINDS[row.pop(_EVENT)], row)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"it is no event: {error}") from error


class EventLog:
    """An observer that appends each event to a file as a line. Raises StoreError where there can be none.

    A line that cannot be written later, as on a full disk, is lost: watching must not end a measurement.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise StoreError(f"Events cannot be written to {path}: {error.strerror or error}.") from error

    def __call__(self, event: Event, /) -> None:
        with suppress(OSError):
            os.write(self._descriptor, encode_event(event))

    def __enter__(self) -> "EventLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)


def read_events(path: Path, start: int = 0, most: int = -1) -> tuple[list[Event], int]:
    """Read the events on whole lines from the byte `start` on, and tell where the next ones begin.

    most: bytes to look at, -1 for all. Lines that are damaged, or of a newer
    version, are left out. Raises OSError.
    """
    events: list[Event] = []
    with open_regular(path) as file:
        file.seek(start)
        data = file.read(most)
    end = data.rfind(b"\n") + 1
    for line in data[:end].splitlines():
        with suppress(ValueError):
            events.append(decode_event(line))
    return events, start + end
