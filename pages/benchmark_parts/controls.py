"""What to measure: every choice is a widget, and every widget is in the page's address."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from hybrid.benchmark.jobs import check_request
from hybrid.benchmark.plan_options import parse_columns, threads_notice
from hybrid.engines.registry import AUTO, ENGINES
from hybrid.errors import EngineError, HybridError, PairError, StoreError, SuiteError
from hybrid.format import amount, counted, duration, listed, printable
from hybrid.models.manifest import available_pairs, tasks_of, zoos
from hybrid.models.pair_summary import able_systems, check_methods, how_to_train
from hybrid.presentation.runs.catalog import Entry
from hybrid.presentation.runs.digest import number
from hybrid.schema import CPU, METHODS, SYSTEMS, TASKS, Device, Plan, Sampling, Suite, System
from hybrid.suites import bundled_suites, check_task, is_bundled, load_suite
from pages.benchmark_parts.engines import missing
from pages.common import caches
from pages.common.access import access
from pages.common.notes import note, tell

ANOTHER = "another"
ABOUT_SUITES = (
    "everyday-en-de@1, sacrebleu:wmt20/en-de, hf:DATASET:CONFIG:SPLIT or file:NAME, a TSV, CSV or JSONL "
    "of source and reference in the folder of suites on the machine that runs this bench, suites/ beside "
    "the stored runs."
)
DEVICES = (CPU, Device("cuda"))


def ask() -> Plan | None:
    """Draw the controls; None, with a sentence on the page, while they do not make a plan."""
    try:
        pairs = available_pairs(observer=tell)
        if not pairs:
            raise PairError(
                f"There are no pairs in {listed([*map(str, zoos())])}. HYBRID_ZOO names another folder."
            )
        chosen = _what(pairs) | _how_much() | _more()
        if sentence := how_to_train(chosen["pair"], pairs[chosen["pair"]]):
            note(sentence)
            chosen["systems"] = able_systems(chosen["systems"], pairs[chosen["pair"]])
        sampling = Sampling(chosen.pop("tokens"), ignore_eos=chosen.pop("fixed"), truncate=True)
        plan = Plan(sampling=sampling, **chosen)
        if not plan.suite:
            raise SuiteError(f"Name the suite: {ABOUT_SUITES}")
        check_request(plan)
        check_methods(plan.pair, pairs.get(plan.pair, {}), [system.method for system in plan.systems])
        if plan.suite.startswith(("file:", "hf:")) and not plan.task:
            raise SuiteError(f"{plan.suite} does not say its task: choose it beside the name.")
        if sentence := threads_notice(plan.threads):
            note(sentence, "warning")
        if is_bundled(plan.suite):
            check_task(suite(plan.suite), tasks_of(pairs[plan.pair]), plan.pair)
        _check_here(plan)
    except (HybridError, ValueError) as error:
        note(str(error), "error")
        return None
    return plan


def estimate(plan: Plan) -> str:
    """How many answers will be measured, in a sentence."""
    factors = f"× {counted(len(plan.systems), 'system')} × {counted(plan.repeats, 'repeat')}"
    each = len(plan.systems) * plan.repeats
    if not is_bundled(plan.suite):
        if plan.limit is None:
            return f"Every example of the suite {factors}, after a warm-up that is dropped."
        return f"At most {counted(plan.limit, 'example')} {factors} = {plan.limit * each:,} answers."
    size, taken = _taken(plan)
    more = f" The suite has {size:,}: all are taken." if plan.limit is not None and plan.limit > size else ""
    return f"{counted(taken, 'example')} {factors} = {taken * each:,} answers.{more}"


def pace(plan: Plan) -> str:
    """Say how long the answers take by the newest run of these systems on this suite, if there is one."""
    if not is_bundled(plan.suite):
        return ""
    entry = next((entry for entry in caches.catalog().entries if _measured(plan, entry)), None)
    if entry is None:
        return ""
    try:
        rows = caches.digest(entry.run_id).rows
    except StoreError:  # the pages that show runs say what is damaged
        return ""
    known = [number(rows[system], "total_ms_p50") for system in plan.systems if system in rows]
    if len(known) < len(plan.systems) or None in known:
        return ""
    of_an_example_s = sum(ms for ms in known if ms is not None) / 1000
    whole = duration(of_an_example_s * _taken(plan)[1] * plan.repeats)
    machine = f"{printable(entry.device_name)}, {counted(entry.threads, 'thread')}"
    return f"In run {entry.run_id} ({machine}) an example took {amount(of_an_example_s)} s: about {whole}."


def _taken(plan: Plan) -> tuple[int, int]:
    """Count the examples of a bundled suite, and those of them that are answered."""
    size = len(suite(plan.suite).examples)
    return size, min(size, plan.limit or size)


def _measured(plan: Plan, entry: Entry) -> bool:
    """Tell whether a run says how long this plan takes."""
    return (
        entry.complete
        and set(plan.systems) <= set(entry.systems)
        and plan.engine in (AUTO, entry.engines[0])
        and (entry.suite.partition("@")[0], entry.pair, entry.device, entry.fixed_length)
        == (plan.suite.partition("@")[0], plan.pair, plan.device.kind, plan.sampling.ignore_eos)
        and (entry.batch_size, entry.threads) == (plan.batch_size, plan.threads) == (1, plan.threads)
    )


@st.cache_resource(show_spinner=False)
def suite(name: str) -> Suite:
    """Load a bundled suite; everyone's, so never changed."""
    return load_suite(name)


def _what(pairs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    left, middle, right = st.columns(3)
    name = left.selectbox("Suite", [*bundled_suites(), ANOTHER], key="bench_suite", bind="query-params")
    pair = middle.selectbox("Pair", list(pairs), format_func=printable, key="bench_pair", bind="query-params")
    engine = right.selectbox(
        "Engine", [AUTO, *ENGINES], key="bench_engine", bind="query-params",
        help="auto: the fastest that runs here. A system may name another of its own below.",
    )  # fmt: skip
    chosen: dict[str, Any] = {"suite": name, "pair": pair, "engine": engine}
    if name == ANOTHER:
        left, middle, right = st.columns([2, 1, 1])
        suite = left.text_input("Name of the suite", key="name", bind="query-params", help=ABOUT_SUITES)
        tasks = tasks_of(pairs[pair]) if pair in pairs else TASKS
        task = middle.selectbox(
            "Task", list(tasks), None, format_func=lambda task: tasks[task].label, key="asked-task",
            bind="query-params", placeholder="as the suite states", help="file: and hf: suites state none.",
        )  # fmt: skip
        columns = right.text_input(
            "Columns", key="columns", bind="query-params", placeholder="as the first line names them",
            help="Of file: and hf: suites, where they are called otherwise: source=NAME,reference=NAME, "
            "or by number where a file names none: source=1,reference=2.",
        )  # fmt: skip
        suite = access().suite(suite.strip())
        chosen |= {"suite": suite, "task": task or "", "columns": _columns(columns)}
    return chosen


def _how_much() -> dict[str, Any]:
    systems = st.multiselect(
        "Systems", _systems(), list(SYSTEMS), format_func=_label, key="bench_systems", bind="query-params",
        help="Measured in turn, example by example. The LLM alone is what the others are compared with.",
    )  # fmt: skip
    columns = st.columns(4)
    limit = columns[0].number_input(
        "Examples", 1, 10**6, None, key="examples", bind="query-params", placeholder="all",
        help="Drawn by the seed; empty: all of the suite.",
    )  # fmt: skip
    return {
        "systems": tuple(systems),
        "limit": limit,
        "repeats": columns[1].number_input("Repeats", 1, 100, 1, key="repeats", bind="query-params"),
        "batch_size": columns[2].number_input(
            "Batch size", 1, 4096, 1, key="bench_batch", bind="query-params"
        ),
        "tokens": columns[3].number_input("Max new tokens", 1, 4096, 128, key="tokens", bind="query-params"),
    }


def _more() -> dict[str, Any]:
    with st.expander("Device, threads, blocks, seed, privacy", icon=":material/tune:"):
        columns = st.columns(4)
        chosen = {
            "device": columns[0].selectbox("Device", DEVICES, key="bench_device", bind="query-params"),
            "threads": columns[1].number_input("CPU threads", 1, 1024, 1, key="threads", bind="query-params"),
            "blocks": columns[2].number_input(
                "Blocks",
                1,
                100,
                3,
                key="blocks",
                bind="query-params",
                help="Fresh processes that measure the answers in parts, one after another: what changes "
                "from process to process is then part of the intervals.",
            ),
            "seed": columns[3].number_input("Seed", 0, 2**31, 0, key="seed", bind="query-params"),
        }
        chosen["fixed"] = st.checkbox(
            "Fixed length: every answer has just as many tokens, for speed; no quality",
            key="fixed", bind="query-params",
        )  # fmt: skip
        chosen["memory"] = st.checkbox(
            "Peak memory of each system, in a pass of its own that takes some seconds each",
            True, key="memory", bind="query-params",
        )  # fmt: skip
        chosen["private"] = st.checkbox(
            "Private: store times, lengths, scores and keyed hashes, no text and no name of a file",
            key="private", bind="query-params",
            help="Runs compare as usual, Examples shows none of it. No score can be added later.",
        )  # fmt: skip
        if chosen["private"]:
            chosen["label"] = st.text_input(
                "What it calls the suite", key="label", bind="query-params", max_chars=40, width=300,
                placeholder="a part of its hash",
                help="Where the name is withheld: that of a file, or of the Hub.",
            ).strip()  # fmt: skip
    return chosen


def _columns(text: str) -> dict[str, str]:
    """Read what `--columns` would be given. Raises SuiteError."""
    try:
        return parse_columns(text) if text.strip() else {}
    except ValueError as error:
        raise SuiteError(f"Columns: {error}.") from error


def _label(system: System) -> str:
    return system.label


def _systems() -> list[System]:
    """Every method, and every METHOD@ENGINE that could run on the chosen device."""
    device = st.session_state.get("bench_device", DEVICES[0])
    kinds = {name: kind for name, kind in ENGINES.items() if device in kind.dtypes}
    named = [System(method, name) for name, kind in kinds.items() for method in kind.methods]
    return [*map(System, METHODS), *named]


def _check_here(plan: Plan) -> None:
    for name in sorted({plan.engine_of(system) for system in plan.systems} - {AUTO}):
        if why := missing(name, plan.device):
            raise EngineError(f"The engine {name} does not run here: {why}")
