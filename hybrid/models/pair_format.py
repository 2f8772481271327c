"""What a pair.json holds, in both of its formats: checked field by field. Reads without torch.

Format 1: one tokenizer, built-in tasks, prompts of a task's own words. Format 2:
a tokenizer a model, formats of prompts, tasks of the pair's own, and models that lie elsewhere.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from msgspec import Meta

from hybrid.schema import Task, TaskKind, check_own_task, task_named
from hybrid.schema.texts import UNREADABLE
from hybrid.store.typed_json import LARGEST

FILE_NAME = re.compile(r"(?!\.)[\w.-]+(/(?!\.)[\w.-]+)*")  # inside the pair's folder, of plain characters
SHA256 = re.compile("[0-9a-f]{64}")

Role = Literal["llm", "slm"]  # whose tokenizer it is
ROLES: tuple[Role, ...] = ("llm", "slm")
WHOLE = "whole"  # in the place of layers: all blocks of the LLM and its final norm
Count = Annotated[int, Meta(ge=0, le=LARGEST)]
Words = Annotated[str, Meta(max_length=2**14)]
Token = Annotated[str, Meta(min_length=1, max_length=200)]


@dataclass(frozen=True)
class Parameters:
    """How many parameters the models have; of the hybrid those of projector and SLM."""

    llm: Count
    slm: Count
    hybrid: Count


@dataclass(frozen=True)
class PartsAnywhere:
    """The same of a pair whose hybrid may not exist yet."""

    llm: Count
    slm: Count
    hybrid: Count | None = None


@dataclass(frozen=True, kw_only=True)
class OwnTask:
    """A task as a pair of its own states it; see Task. kind: of older pairs, what the name says."""

    label: Annotated[str, Meta(min_length=1, max_length=100)]
    source_language: Annotated[str, Meta(max_length=20)]
    target_language: Annotated[str, Meta(max_length=20)]
    prefix: Words = ""
    suffix: Words = ""
    lines: bool = False
    kind: TaskKind | None = None

    def task(self, name: str) -> Task:
        """Give it its name. Raises ValueError as check_own_task() does."""
        given = asdict(self) | {"kind": self.kind or task_named(name).kind}
        task = Task(name, **given)
        check_own_task(task)
        return task


@dataclass(frozen=True)
class TokenizerFile:
    """A tokenizer of a pair: where it lies, and its tokens that end an answer and fill what is shorter.

    more_eos_ids: that end an answer beside eos.
    """

    file: Annotated[str, Meta(max_length=200)]
    eos: Token
    pad: Token
    more_eos_ids: Annotated[tuple[Count, ...], Meta(max_length=100)] = ()


@dataclass(frozen=True)
class Format:
    """A PromptFormat as a file holds it."""

    before: Words = ""
    after: Words = ""
    bos: Words = ""
    eos: Words = ""


@dataclass(frozen=True)
class Referred:
    """A model that lies elsewhere: what finds it, and the hashes of its files when the pair was made."""

    reference: Annotated[str, Meta(min_length=1, max_length=1000)]
    revision: Annotated[str, Meta(max_length=200)] = ""
    files: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (self.reference + self.revision).isprintable():
            raise ValueError(f"the reference {self.reference[:80]!r} has control characters")
        check_hashes(self.files)


@dataclass(frozen=True, kw_only=True)
class AnyPair:
    """What a pair.json of format 2 holds, beside its format. llm, slm: where their weights lie elsewhere."""

    tasks: Annotated[dict[str, OwnTask], Meta(min_length=1, max_length=1000)]
    max_prompt_tokens: Annotated[int, Meta(ge=3, le=2**20)]
    parameters: PartsAnywhere
    tokenizers: dict[Role, TokenizerFile]
    prompts: dict[Role, dict[str, Format]]
    llm: Referred | None = None
    slm: Referred | None = None
    name: Annotated[str, Meta(max_length=200)] = ""
    sha256: dict[str, str] = field(default_factory=dict)
    about: Any = None

    def __post_init__(self) -> None:
        check_hashes(self.sha256)
        for name, own in self.tasks.items():
            own.task(name)
        for role in ROLES:
            for what, known in (("tokenizers", self.tokenizers), ("prompts", self.prompts)):
                if role not in known:
                    raise ValueError(f"{what} has nothing of the {role}")
            if not FILE_NAME.fullmatch(self.tokenizers[role].file):
                file = self.tokenizers[role].file
                raise ValueError(f"tokenizers names {file[:80]!r}, which is no file inside the pair's folder")
            for name in self.tasks.keys() ^ self.prompts[role].keys():
                raise ValueError(f"prompts.{role} and tasks do not both have {name[:80]!r}")
            for around in self.prompts[role].values():
                for text in (around.before, around.after, around.bos, around.eos):
                    _check_words(text)
        _check_printable(self.name)


@dataclass(frozen=True)
class Manifest:
    """What a pair.json holds, beside its format. about: how the pair was made, of any kind."""

    tasks: Annotated[tuple[Annotated[str, Meta(max_length=100)], ...], Meta(min_length=1, max_length=1000)]
    max_prompt_tokens: Annotated[int, Meta(ge=3, le=2**20)]
    parameters: Parameters
    name: Annotated[str, Meta(max_length=200)] = ""
    sha256: dict[str, str] = field(default_factory=dict)
    about: Any = None

    def __post_init__(self) -> None:
        for text in (self.name, *self.tasks):
            _check_printable(text)
        check_hashes(self.sha256)


def check_hashes(files: Mapping[str, str]) -> None:
    """Raise ValueError for a name outside of a folder, or a hash that is none."""
    for name, digest in files.items():
        if not FILE_NAME.fullmatch(name):
            raise ValueError(f"sha256 names {name[:80]!r}, which is no file inside the pair's folder")
        if not SHA256.fullmatch(digest):
            raise ValueError(f"sha256 of {name} is {digest[:80]!r}, which is none")


def _check_printable(text: str) -> None:
    if not text.isprintable():
        raise ValueError(f"{text[:80]!r} has control characters")


def _check_words(text: str) -> None:
    if UNREADABLE.search(text):
        raise ValueError(f"{text[:80]!r} has control characters")
