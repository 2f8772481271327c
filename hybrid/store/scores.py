"""Scores of a stored run: scores-METRIC.jsonl beside its records, written whole once they are measured.

A line holds what one answer adds to the metric's sums, and the checksum of the text that
was scored: an answer that was measured again has no score until it is scored again. The last
line is the checksum of the file. Runs of before hold the same inside their records; what
stands in a file of its own goes first.
"""

import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import IO

import msgspec

from hybrid.schema import STATISTICS, Record
from hybrid.store.checks import CHECKSUM, last_line, without_last_line
from hybrid.store.files import as_store_error, open_atomic, open_regular
from hybrid.store.folders import EXAMPLES
from hybrid.store.journal import decode_each
from hybrid.store.record_lines import RecordLine, short
from hybrid.store.typed_json import Amount, decode, encode

SCORES = re.compile(r"scores-([0-9A-Za-z_]{1,40})\.jsonl")
SCHEMA = 1

Statistics = Mapping[str, tuple[float, ...]]  # by metric, what one answer adds to its sums
AnswerKey = tuple[str, int, str]  # example, repeat, system


class ScoreHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: what the file was scored by, and of which texts.

    version: of the metric's statistics. examples_sha256: of the run's file of texts and references.
    product: version of hybrid-bench. checksum: CHECKSUM where one is the file's last line.
    """

    schema: int = SCHEMA
    metric: str
    version: int
    signature: str
    examples_sha256: str
    product: str
    checksum: str = ""


class _Line(msgspec.Struct, kw_only=True, gc=False):
    example: str
    repeat: int
    system: str
    text_crc32: int
    statistics: tuple[Amount, ...]


class MetricScores:
    """One metric's scores of a run, for a reader that asks for its answers in the order of measuring."""

    def __init__(self, header: ScoreHeader, lines: Sequence[_Line]) -> None:
        self.header = header
        self._lines, self._next = lines, 0
        self._places: Mapping[AnswerKey, int] | None = None

    def statistics(self, row: RecordLine, text_crc32: int) -> tuple[float, ...] | None:
        """Find the statistics of an answer; None where this text was not scored."""
        place = self._next  # scores stand in the order of the records, but for what is damaged
        if place >= len(self._lines) or not _is_of(self._lines[place], row):
            if self._places is None:
                keys = ((line.example, line.repeat, line.system) for line in self._lines)
                self._places = {key: number for number, key in enumerate(keys)}
            place = self._places.get((row.example, row.repeat, row.system), -1)
        if place < 0:
            return None
        self._next = place + 1
        line = self._lines[place]
        return line.statistics if line.text_crc32 == text_crc32 else None


def add_scores(rows: Sequence[RecordLine], scores: Mapping[str, MetricScores]) -> None:
    """Add to answers the statistics of those metrics that their texts were scored by."""
    for row in rows if scores else ():
        checksum = _checksum(row.text)
        for metric, of_metric in scores.items():
            if (values := of_metric.statistics(row, checksum)) is not None:
                row.statistics[metric] = values


def score_files(folder: Path) -> dict[str, Path]:
    """Find the files of scores in the folder of a run, by metric."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return {match[1]: folder / name for name in names if (match := SCORES.fullmatch(name))}


def score_headers(folder: Path) -> dict[str, ScoreHeader]:
    """Read what a run was scored by, by metric; files that cannot be read are passed over."""
    headers = {}
    examples = _examples_sha256(folder)
    for metric, path in score_files(folder).items():
        try:
            with open_regular(path) as file:
                headers[metric] = _header(file.readline(), metric, examples)
        except (OSError, ValueError):
            continue
    return headers


def read_scores(folder: Path, problems: list[str]) -> dict[str, MetricScores]:
    """Read all scores of a run, by metric. problems: grows by a sentence for each thing that is damaged."""
    scores = {}
    examples = _examples_sha256(folder)
    for metric, path in score_files(folder).items():
        try:
            scores[metric] = _metric_scores(path, metric, examples, problems)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            problems.append(f"{path} is left out: {reason}. `hybrid score {folder.name}` makes it again.")
    return scores


@contextmanager
def open_scores(
    folder: Path, headers: Mapping[str, tuple[int, str]], product: str
) -> Iterator[Callable[[Record, Statistics], None]]:
    """Write files of scores, all of them when the block ends well and none before.

    headers: version and signature, by metric. Yields what appends the statistics of
    one answer. Raises StoreError.
    """
    with ExitStack() as stack:
        stack.enter_context(as_store_error(f"The scores of run {folder.name} cannot be written"))
        examples, files = _examples_sha256(folder), dict[str, _SealedFile]()
        for metric, (version, signature) in headers.items():
            file = stack.enter_context(open_atomic(folder / f"scores-{metric}.jsonl"))
            header = ScoreHeader(
                metric=metric, version=version, signature=signature, examples_sha256=examples,
                product=product, checksum=CHECKSUM,
            )  # fmt: skip
            files[metric] = _SealedFile(file)
            files[metric].write(encode(header))

        def append(record: Record, statistics: Statistics) -> None:
            checksum = _checksum(record.generation.text)
            for metric, values in statistics.items():
                line = {
                    "example": record.example_id, "repeat": record.repeat, "system": str(record.system),
                    "text_crc32": checksum, "statistics": [short(value) for value in values],
                }  # fmt: skip
                files[metric].write(encode(line))

        yield append
        for sealed in files.values():
            sealed.end()


class _SealedFile:
    """A file of lines whose last one is its checksum."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._crc32 = file, 0

    def write(self, line: bytes) -> None:
        self._crc32 = zlib.crc32(line, self._crc32)
        self._file.write(line)

    def end(self) -> None:
        self._file.write(last_line(self._crc32))


def _metric_scores(path: Path, metric: str, examples: str, problems: list[str]) -> MetricScores:
    """Read a metric's scores. Raises OSError or ValueError for a file that is none of this run's scores."""
    with open_regular(path) as file:
        data = file.read()
    first, _, rest = data.partition(b"\n")
    header = _header(first, metric, examples)
    if header.checksum == CHECKSUM:
        rest = without_last_line(data)[len(first) + 1 :]
    try:
        lines = msgspec.json.Decoder(_Line).decode_lines(rest)
        shape = STATISTICS.get(metric)
        if shape is None or shape.all_hold([line.statistics for line in lines]):
            return MetricScores(header, lines)
    except (ValueError, OverflowError, RecursionError):
        pass  # one by one, to name those that cannot be read
    numbered = enumerate(rest.splitlines(), start=2)
    return MetricScores(header, list(decode_each(path, numbered, partial(_decode_line, metric), problems)))


def _decode_line(metric: str, line: bytes) -> _Line:
    row = decode(_Line, line, texts=True)
    if metric in STATISTICS and not STATISTICS[metric].holds(row.statistics):
        raise ValueError(f"no answer has such statistics of {metric}")
    return row


def _is_of(line: _Line, row: RecordLine) -> bool:
    return line.example == row.example and line.repeat == row.repeat and line.system == row.system


def _header(data: bytes, metric: str, examples: str) -> ScoreHeader:
    try:
        header = decode(ScoreHeader, data)
    except ValueError as error:
        raise ValueError(f"its first line is no header of scores ({error})") from error
    if header.schema > SCHEMA:
        raise ValueError(f"it has schema {header.schema} and this version reads {SCHEMA}")
    if header.metric != metric:
        raise ValueError(f"it holds scores by {header.metric}")
    if header.examples_sha256 != examples:
        raise ValueError("it was scored against other texts than the run's")
    return header


def _examples_sha256(folder: Path) -> str:
    try:
        with open_regular(folder / EXAMPLES) as file:
            digest = sha256()
            while piece := file.read(1 << 20):
                digest.update(piece)
    except OSError:
        return ""  # whoever reads the run says so
    return digest.hexdigest()


def _checksum(text: str) -> int:
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))
