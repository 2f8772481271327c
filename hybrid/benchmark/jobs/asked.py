"""What a job is asked to do, checked, and the `hybrid bench` command that does it."""

import shlex
from dataclasses import dataclass, fields

from hybrid.engines.registry import AUTO, ENGINES, kind_of
from hybrid.errors import EngineError, PairError, StoreError, SuiteError
from hybrid.schema import CPU, SYSTEMS, TASKS, Device, System
from hybrid.store.folders import RUN_ID
from hybrid.suites import bundled_suites

PREFIXES = ("sacrebleu:", "hf:", "file:")
LONGEST = 1000  # characters of a name
WAIT_S = 120  # for a prompt that is measured on the Live page just then
MOST = {"threads": 1024, "batch_size": 4096, "repeats": 1000, "max_new_tokens": 4096, "limit": 10**9}


@dataclass(frozen=True)
class Measurement:
    """A new run. Every field but `pair` has the default of the command's option of that name.

    task: for suites that do not state theirs. limit: of examples; None takes all.
    fixed_length: exactly max_new_tokens for each answer, which says nothing of quality.
    memory: peak memory too, in a pass of its own.
    Raises SuiteError, PairError, EngineError or ValueError for what the command would refuse.
    """

    suite: str
    pair: str
    systems: tuple[System, ...] = SYSTEMS
    engine: str = AUTO
    task: str | None = None
    limit: int | None = None
    repeats: int = 1
    batch_size: int = 1
    max_new_tokens: int = 128
    fixed_length: bool = False
    device: Device = CPU
    threads: int = 1
    seed: int = 0
    memory: bool = True

    def __post_init__(self) -> None:
        _check_suite(self.suite)
        if not _harmless(self.pair):
            raise PairError(f"There is no pair {self.pair!r}.")
        for name, most in MOST.items():
            value = getattr(self, name)
            if value is not None and not 1 <= value <= most:
                raise ValueError(f"{name} is {value}; it must be from 1 to {most}")
        if self.task is not None and self.task not in TASKS:
            raise SuiteError(f"There is no task {self.task!r}; available: {', '.join(TASKS)}.")
        _check_systems(self)

    @property
    def arguments(self) -> tuple[str, ...]:
        """Of the command `hybrid`; what is as the command would have it is left out.

        No name can be taken for an option: each stands behind a = or begins as _check_suite() wants it.
        """
        given = [f"--pair={self.pair}"]
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("suite", "pair", "memory") or value == field.default:
                continue
            text = ",".join(value) if isinstance(value, tuple) else str(value)
            given.append(f"--{field.name.replace('_', '-')}={text}")
        if self.fixed_length:
            given = [one for one in given if not one.startswith(("--fixed-length", "--max-new-tokens"))]
            given.append(f"--fixed-length={self.max_new_tokens}")
        if not self.memory:
            given.append("--no-memory")
        return "bench", self.suite, *given, f"--wait={WAIT_S}"


@dataclass(frozen=True)
class GoOn:
    """An interrupted run. suite: its suite's name, to be shown. Raises StoreError for what is no id.

    memory: as for a new run; what was asked for then is not stored. threads: of its plan.
    """

    run_id: str
    suite: str
    memory: bool = True
    threads: int = 1

    def __post_init__(self) -> None:
        if not RUN_ID.fullmatch(self.run_id):
            raise StoreError(f"{self.run_id!r} is not the id of a run.")

    @property
    def arguments(self) -> tuple[str, ...]:
        memory = () if self.memory else ("--no-memory",)
        return "bench", f"--resume={self.run_id}", *memory, f"--wait={WAIT_S}"


Asked = Measurement | GoOn


def in_a_shell(asked: Asked) -> str:
    """The command as anyone can type it."""
    return shlex.join(("hybrid", *asked.arguments))


def _harmless(name: str) -> bool:
    return 0 < len(name) <= LONGEST and name.isprintable()


def _check_suite(name: str) -> None:
    known = name in bundled_suites() or (name.startswith(PREFIXES) and not name.endswith(":"))
    if not (known and _harmless(name)):
        forms = "sacrebleu:SET/PAIR, hf:DATASET:CONFIG:SPLIT, file:PATH"
        raise SuiteError(f"There is no suite {name!r}. Available: {', '.join(bundled_suites())}, {forms}.")


def _check_systems(asked: Measurement) -> None:
    """Each system's engine, where one is named, has its method and runs on such a device."""
    if not asked.systems:
        raise EngineError("No system is chosen; choose one to measure.")
    if len(set(asked.systems)) < len(asked.systems):
        raise ValueError(f"systems are {', '.join(asked.systems)}; name each one once")
    device = asked.device.kind
    for system in asked.systems:
        method, engine = system.method, system.engine or asked.engine
        if system.engine is None and engine == AUTO:
            continue
        kind = kind_of(engine)
        if device not in kind.dtypes:
            raise EngineError(
                f"The engine {engine} does not run on {asked.device}; it runs on {' and '.join(kind.dtypes)}."
            )
        if method not in kind.methods:
            others = [name for name, one in ENGINES.items() if method in one.methods and device in one.dtypes]
            raise EngineError(
                f"The engine {engine} has no method {method}; these have it: {', '.join(others)}."
            )
