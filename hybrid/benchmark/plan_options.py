"""The options of `hybrid bench` as data: what a Plan says on a command line, and which Plan a line asks for.

The command derives its options from PLAN_OPTIONS; pages and the report write
the line that the command reads.
"""

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hybrid.engines.registry import AUTO, DTYPES, ENGINES, OPTIONS
from hybrid.format import counted
from hybrid.schema import LOSSLESS, METHODS, TASKS, Device, Plan, Sampling, System
from hybrid.schema.runs import LABEL, LABELS, MOST_BLOCKS

_DEFAULT = Plan("")
_COLUMNS = re.compile(r",(?=[^,=]*=)")  # a column's own name may hold commas

Value = str | int | bool | None | Sequence[str] | Mapping[str, str] | tuple[System, ...] | Device


@dataclass(frozen=True, kw_only=True)
class PlanOption:
    """One option of `hybrid bench`, by what can be said without a library for command lines.

    name: without dashes. help, metavar: as --help shows them.
    low, high: of a whole number; both None where it is none.
    choices: all that may be said; empty where that is open.
    default: where nothing is said; a text is parsed. many: may be given several times.
    parse: the value of a text; raises ValueError. notice: what to know of a number, empty for nothing.
    texts: what a plan says with the option; nothing where it has the default.
    """

    name: str
    help: str
    metavar: str | None = None
    low: int | None = None
    high: int | None = None
    choices: tuple[str, ...] = ()
    default: str | int | bool | None = None
    many: bool = False
    parse: Callable[[str], Value] | None = None
    notice: Callable[[int], str] | None = None
    texts: Callable[[Plan], tuple[str, ...]]

    @property
    def key(self) -> str:
        """Its name among parsed options."""
        return self.name.replace("-", "_")

    @property
    def flag(self) -> bool:
        """Tell whether it says yes or no, without a value."""
        return isinstance(self.default, bool)

    @property
    def number(self) -> bool:
        """Tell whether its value is a whole number."""
        return not self.flag and (isinstance(self.default, int) or self.low is not None)


def parse_systems(text: str) -> tuple[System, ...]:
    """Read `llm,hybrid@onnx`: each system once, in the order of METHODS."""
    available = f"{', '.join(METHODS)}; METHOD@ENGINE for another engine"
    systems: list[System] = []
    for name in dict.fromkeys(name.strip() for name in text.split(",") if name.strip()):
        try:
            system = System.parse(name)
        except ValueError as error:
            raise ValueError(f"there is no system {name!r}; available: {available}") from error
        if system.trivial:
            raise ValueError(f"{name} needs no model: every comparison of summaries has it, `hybrid compare`")
        if system.engine is not None and system.engine not in ENGINES:
            raise ValueError(f"there is no engine {system.engine!r}; available: {', '.join(ENGINES)}")
        systems.append(system)
    if not systems:
        raise ValueError(f"no system is named; available: {', '.join(METHODS)}")
    order = list(METHODS)
    return tuple(sorted(systems, key=lambda system: (order.index(system.method), system.engine is not None)))


def parse_columns(text: str) -> dict[str, str]:
    """Read `source=A,reference=B`."""
    pairs = [piece.partition("=") for piece in _COLUMNS.split(text)]
    if not all(role.strip() and column.strip() for role, _, column in pairs):
        raise ValueError(f"{text!r} is not like source=NAME,reference=NAME")
    return {role.strip(): column.strip() for role, _, column in pairs}


def parse_label(text: str) -> str:
    """Read what a private run calls its suite."""
    if not LABEL.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not {LABELS}")
    return text


def parse_device(text: str) -> Device:
    """Read `cpu`, `cuda` or `cuda:1`."""
    try:
        return Device.parse(text)
    except ValueError as error:
        raise ValueError(f"there is no device {text!r}; available: cpu, cuda, cuda:N") from error


def parse_engine_options(texts: Sequence[str]) -> dict[str, str]:
    """Read each `NAME=VALUE`; which engine has them is checked when it is made."""
    pairs = [text.partition("=") for text in texts]
    for text, (name, _, value) in zip(texts, pairs, strict=True):
        if not (name and value):
            raise ValueError(f"{text!r} is not like NAME=VALUE")
    return {name: value for name, _, value in pairs}


def _field(name: str) -> Callable[[Plan], tuple[str, ...]]:
    """Give the text of a plan's field, where it has not the default."""

    def texts(plan: Plan) -> tuple[str, ...]:
        value = getattr(plan, name)
        return () if value == getattr(_DEFAULT, name) else (str(value),)

    return texts


def _longest(plan: Plan) -> tuple[str, ...]:
    default = plan.sampling.ignore_eos or plan.sampling.max_new_tokens == _DEFAULT.sampling.max_new_tokens
    return () if default else (str(plan.sampling.max_new_tokens),)


def _task(plan: Plan) -> tuple[str, ...]:
    from hybrid.suites import is_bundled  # what reads them takes a tenth of a second to import

    return (plan.task,) if plan.task and not is_bundled(plan.suite) else ()


def _column_names(plan: Plan) -> tuple[str, ...]:
    pairs = ",".join(f"{role}={column}" for role, column in plan.columns.items())
    return (pairs,) if pairs else ()


_ABOUT_ENGINE_OPTIONS = " ".join(
    f"{name}={'|'.join(option.choices)}: {option.about}" for name, option in OPTIONS.items()
)


def threads_notice(threads: int) -> str:
    """Say that threads are more than cores, and wait for each other; empty where they are not."""
    affinity = getattr(os, "sched_getaffinity", None)  # what this process may use, not what the machine has
    cores = len(affinity(0)) if affinity else os.cpu_count() or threads
    if threads <= cores:
        return ""
    return f"{threads} threads wait for each other on {counted(cores, 'core')}; {cores} are likely faster."


# Of every command that runs models.
ENGINE_OPTIONS = (
    PlanOption(
        name="engine",
        choices=(AUTO, *ENGINES),
        default=AUTO,
        help="What runs the models, see `hybrid engines`; auto: the fastest that runs here.",
        texts=_field("engine"),
    ),
    PlanOption(
        name="engine-option",
        many=True,
        metavar="NAME=VALUE",
        help=_ABOUT_ENGINE_OPTIONS,
        texts=lambda plan: tuple(f"{name}={value}" for name, value in plan.engine_options.items()),
    ),
    PlanOption(
        name="device", parse=parse_device, default="cpu", help="cpu, cuda or cuda:N.", texts=_field("device")
    ),
    PlanOption(name="dtype", choices=DTYPES, help="[default: the engine's own]", texts=_field("dtype")),
    PlanOption(
        name="threads",
        low=1,
        high=1024,
        default=1,
        help="CPU threads.",
        notice=threads_notice,
        texts=_field("threads"),
    ),
)

COLUMNS = PlanOption(
    name="columns",
    parse=parse_columns,
    metavar="source=A,reference=B",
    help="Which to read, of file: and hf: suites; numbers, as in source=2, where a file names none.",
    texts=_column_names,
)

PLAN_OPTIONS = (
    PlanOption(
        name="systems",
        parse=parse_systems,
        default=",".join(_DEFAULT.systems),
        help="Of llm, slm, hybrid, lossless, lossless-slm, lossless-lookup; llm@ENGINE for another engine. "
        + LOSSLESS,
        texts=lambda plan: () if plan.systems == _DEFAULT.systems else (",".join(plan.systems),),
    ),
    PlanOption(
        name="pair", metavar="NAME", help="See `hybrid pairs`. [default: the first]", texts=_field("pair")
    ),
    *ENGINE_OPTIONS,
    PlanOption(
        name="batch-size", low=1, high=4096, default=1, help="Prompts at once.", texts=_field("batch_size")
    ),
    PlanOption(
        name="limit", low=1, metavar="N", help="Only N examples, drawn by --seed.", texts=_field("limit")
    ),
    PlanOption(
        name="repeats", low=1, high=1000, default=1, help="Times over all examples.", texts=_field("repeats")
    ),
    PlanOption(
        name="blocks",
        low=1,
        high=MOST_BLOCKS,
        default=3,
        help="Fresh processes that measure the answers in parts: what changes between them is then known.",
        texts=_field("blocks"),
    ),
    PlanOption(name="seed", default=0, help="Of the examples' order.", texts=_field("seed")),
    PlanOption(name="max-new-tokens", low=1, high=4096, default=128, help="Longest answer.", texts=_longest),
    PlanOption(
        name="fixed-length",
        low=1,
        high=4096,
        metavar="N",
        help="N tokens each: speed, no quality.",
        texts=lambda plan: (str(plan.sampling.max_new_tokens),) if plan.sampling.ignore_eos else (),
    ),
    PlanOption(
        name="truncate",
        default=True,
        help="Cut prompts that are too long, or end with an error. [default: cut]",
        texts=lambda plan: () if plan.sampling.truncate else ("no",),
    ),
    PlanOption(
        name="task",
        metavar="NAME",
        help=f"For suites that do not state theirs, such as files: {', '.join(TASKS)}, or the pair's own.",
        texts=_task,
    ),
    COLUMNS,
    PlanOption(
        name="memory",
        default=True,
        help="Peak memory, in a pass of its own. [default: yes]",
        texts=lambda plan: () if plan.memory else ("no",),
    ),
    PlanOption(
        name="private",
        default=False,
        help="Store no texts: times, lengths, statistics and keyed hashes, and no name of a file.",
        texts=lambda plan: ("yes",) if plan.private else (),
    ),
    PlanOption(name="label", parse=parse_label, help="Calls a private suite so.", texts=_field("label")),
)


def plan_of_options(suite: str, options: Mapping[str, object]) -> Plan:
    """Make the plan that parsed options ask for; `options` has each of PLAN_OPTIONS by its key.

    Raises ValueError where they exclude each other.
    """
    values = {**options}
    fixed, longest = values.pop("fixed_length"), values.pop("max_new_tokens")
    sampling = Sampling(int(str(fixed or longest)), bool(fixed), bool(values.pop("truncate")))
    pairs = values.pop("engine_option")
    values |= {name: values[name] or "" for name in ("pair", "task", "dtype", "label")}
    values["columns"] = values["columns"] or {}
    engine_options = pairs if isinstance(pairs, Mapping) else {}
    return Plan(suite, sampling=sampling, engine_options=engine_options, **values)  # type: ignore[arg-type]


def plan_arguments(plan: Plan) -> tuple[str, ...]:
    """Write what `hybrid bench` is given to measure `plan`, without what goes without saying.

    No value can be taken for an option: each stands behind a =, or after --.
    """
    arguments: list[str] = []
    for option in PLAN_OPTIONS:
        for text in option.texts(plan):
            flag = f"--no-{option.name}" if option.default else f"--{option.name}"
            arguments.append(flag if option.flag else f"--{option.name}={text}")
    return (*arguments, "--", plan.suite) if plan.suite.startswith("-") else (plan.suite, *arguments)


def bench_command(plan: Plan) -> str:
    """`hybrid bench SUITE ...`, to be pasted into a shell: whatever names hold, they are quoted."""
    return shlex.join(["hybrid", "bench", *plan_arguments(plan)])
