"""What the tests of a benchmark share: a suite of seven sentences and engines that are none."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from hybrid.benchmark.schedule import measure_records, select_examples
from hybrid.engines.contract import Engine
from hybrid.schema import SYSTEMS, Example, Plan, Record, Sampling, Step, Suite, System
from hybrid.store import Key

TASK = "translate-en-de"
WORDS = ["The", "old", "house", "by", "the", "river", "is", "open", "again"]
SUITE = Suite(
    "seven", TASK, "CC0-1.0",
    tuple(Example(f"e{i}", "d", " ".join(WORDS[: i + 3]), (f"Das ist Satz {i}.",)) for i in range(7)),
)  # fmt: skip


class FakeEngine:
    """Answers each text with its words backwards, in two tokens; `calls` says what was asked."""

    def __init__(self, system: System, calls: list[tuple[System, tuple[str, ...], Sampling]]) -> None:
        self.system, self.calls = system, calls
        self.between: Callable[[str], object] = lambda phase: None  # done before each Step

    def generate(self, task: str, texts: Sequence[str], sampling: Sampling) -> Iterator[Step]:
        assert task == TASK
        self.calls.append((self.system, tuple(texts), sampling))
        self.between("tokenize")
        yield Step("tokenize", prompt_tokens=tuple(len(text.split()) for text in texts))
        self.between("prefill")
        yield Step("prefill", tuple((len(text),) for text in texts))
        self.between("decode")
        yield Step("decode", tuple((1,) for _ in texts))
        self.between("detokenize")
        answers = tuple(f"{self.system}: {' '.join(reversed(text.split()))}" for text in texts)
        yield Step("detokenize", texts=answers, finish_reasons=("eos",) * len(texts))


@dataclass
class Bench:
    """A suite, plans over it, and fake engines."""

    suite: Suite = SUITE
    calls: list[tuple[System, tuple[str, ...], Sampling]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engines = {system: FakeEngine(system, self.calls) for system in SYSTEMS}

    def plan(self, **fields: object) -> Plan:
        sampling = Sampling(max_new_tokens=6, truncate=True)
        return replace(Plan("seven", self.suite.content_hash, TASK, "tiny", sampling=sampling), **fields)

    def stream(
        self, plan: Plan, engines: Mapping[System, Engine] | None = None, **more: Any
    ) -> Generator[tuple[Record, ...], None, None]:
        """The benchmark of the plan's examples by the fake engines, or by others."""
        return measure_records(plan, select_examples(plan, self.suite), engines or self.engines, **more)

    def measured(self, plan: Plan, done: frozenset[Key] = frozenset()) -> list[tuple[Record, ...]]:
        """All records, item by item."""
        return list(self.stream(plan, done=done))


@pytest.fixture
def bench() -> Bench:
    return Bench()
