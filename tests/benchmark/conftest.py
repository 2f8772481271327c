"""What the tests of a benchmark share: a suite of seven sentences and engines that are none."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from hybrid.benchmark.schedule import measure_records, select_examples
from hybrid.engines.contract import LoadedSystem
from hybrid.schema import SYSTEMS, EncodedPrompt, Example, Plan, Record, Sampling, Step, Suite, System
from hybrid.store import Key

TASK = "translate-en-de"
WORDS = ["The", "old", "house", "by", "the", "river", "is", "open", "again"]
SUITE = Suite(
    "seven", TASK, "CC0-1.0",
    tuple(Example(f"e{i}", "d", " ".join(WORDS[: i + 3]), (f"Das ist Satz {i}.",)) for i in range(7)),
)  # fmt: skip


class FakeEngine:
    """Answers each text with its words backwards, in two tokens; `calls` says what was asked.

    Its own codec, too: a prompt is as many ids as a text has words, and they say which text.
    """

    synchronize: Callable[[], None] | None = None
    eos_ids = (1,)

    def __init__(self, system: System, calls: list[tuple[System, tuple[str, ...], Sampling]]) -> None:
        self.system, self.method, self.calls = system, system.method, calls
        self.between: Callable[[str], object] = lambda phase: None  # done before each phase ends
        self.texts: list[str] = []
        self.decoded = 0

    def encode(self, task: str, texts: Sequence[str], truncate: bool = False) -> tuple[EncodedPrompt, ...]:
        assert task == TASK
        self.between("tokenize")
        self.texts, self.decoded = list(texts), 0
        return tuple(EncodedPrompt((100 + row,) * len(text.split())) for row, text in enumerate(texts))

    def generate(self, prompts: Sequence[EncodedPrompt], sampling: Sampling) -> Iterator[Step]:
        self.calls.append((self.system, tuple(self.texts), sampling))
        self.between("prefill")
        yield Step("prefill", tuple((prompt.token_ids[0],) for prompt in prompts))
        self.between("decode")
        yield Step("decode", tuple((1,) for _ in prompts))

    def decode(self, ids: Sequence[int]) -> str:
        if not self.decoded:
            self.between("detokenize")
        self.decoded += 1
        return f"{self.system}: {' '.join(reversed(self.texts[ids[0] - 100].split()))}"


def as_loaded(engines: Mapping[System, FakeEngine]) -> dict[System, LoadedSystem]:
    return {
        system: LoadedSystem(system=system, engine=engine, codec=engine)  # type: ignore[arg-type]
        for system, engine in engines.items()
    }


@dataclass
class Bench:
    """A suite, plans over it, and fake engines."""

    suite: Suite = SUITE
    calls: list[tuple[System, tuple[str, ...], Sampling]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engines = {system: FakeEngine(system, self.calls) for system in SYSTEMS}

    def plan(self, **fields: object) -> Plan:
        sampling = Sampling(max_new_tokens=6, truncate=True)
        return replace(
            Plan(
                "seven",
                suite_hash=self.suite.content_hash,
                task=TASK,
                pair="tiny",
                sampling=sampling,
                blocks=1,
            ),
            **fields,
        )

    def stream(
        self, plan: Plan, loaded: Mapping[System, LoadedSystem] | None = None, **more: Any
    ) -> Generator[tuple[Record, ...], None, None]:
        """The benchmark of the plan's examples by the fake engines, or by others."""
        ready = loaded or as_loaded(self.engines)
        return measure_records(plan, select_examples(plan, self.suite), ready, **more)

    def measured(self, plan: Plan, done: frozenset[Key] = frozenset()) -> list[tuple[Record, ...]]:
        """All records, item by item."""
        return list(self.stream(plan, done=done))


@pytest.fixture
def bench() -> Bench:
    return Bench()
