"""A Plan as a file, and what is wrong with one before anything is read or loaded.

JSON, TOML, or the run.json of any stored run.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

from hybrid.benchmark.plan_options import PLAN_OPTIONS
from hybrid.engines.registry import AUTO, ENGINES, spec_of
from hybrid.errors import EngineError, PairError, PlanError, SuiteError
from hybrid.schema import Plan, Sampling, System
from hybrid.schema.runs import UNNAMED, with_version
from hybrid.store.files import read_bounded
from hybrid.store.typed_json import convert, encode
from hybrid.suites import bundled_suites, is_bundled, known_task

SCHEMA = 2  # of a run.json, and so of a plan in a file of its own: 2 where it is private
LARGEST_FILE = 2**24  # bytes, as of a run.json
LONGEST_NAME = 1000  # characters
PREFIXES = ("sacrebleu:", "hf:", "file:")


def encode_plan(plan: Plan) -> bytes:
    """Write a plan as a file for `hybrid bench --plan`, of the same form as a run.json."""
    return encode({"schema": SCHEMA if plan.private else 1, "plan": plan}, indent=1)


def load_plan(path: Path) -> Plan:
    """Read the plan in a file as decode_plan() does. Raises PlanError, and InputError beyond LARGEST_FILE."""
    try:
        with path.open("rb") as file:
            data = read_bounded(file, f"The plan {path}", LARGEST_FILE)
    except OSError as error:
        raise PlanError(f"The plan {path} cannot be read: {error.strerror or error}.") from error
    return decode_plan(data, str(path))


def decode_plan(data: bytes, name: str = "the plan") -> Plan:
    """Decode the plan in JSON or TOML: alone, beside a `schema`, or the `plan` of a whole run.json.

    name: of its file, for messages. Raises PlanError for wrong keys, types and versions.
    """
    try:
        row = _object(data)
        schema = row.pop("schema", SCHEMA)
        if type(schema) is not int or schema < 1:
            raise ValueError(f"schema is {schema!r}, not {SCHEMA}")
        if schema > SCHEMA:
            raise ValueError(f"it has schema {schema} and this version reads {SCHEMA}; install a newer one")
        plan = row.get("plan", row)
        if not isinstance(plan, dict):
            raise ValueError(f"plan is {plan!r}, not an object")
        if "run_id" in row:  # a run of before there were blocks is measured again as it was
            plan = {"blocks": 1} | plan
        sampling = plan.get("sampling")
        if isinstance(sampling, dict):
            _check_keys(sampling, Sampling, "sampling.")
            plan = plan | {"sampling": {"truncate": True} | sampling}
        _check_keys(plan, Plan)
        decoded = convert(Plan, plan)
        return replace(decoded, suite=with_version(decoded.suite, decoded.suite_hash))
    except ValueError as error:
        raise PlanError(f"{name} cannot be read as a plan: {error}.") from error


def check_plan(plan: Plan) -> None:
    """Raise the error that `hybrid bench` would, where that is known without reading suite or weights."""
    if len(plan.pair) > LONGEST_NAME or not plan.pair.isprintable():
        raise PairError(f"There is no pair {plan.pair!r}.")
    for option in PLAN_OPTIONS:
        part = plan.sampling if option.name == "max-new-tokens" else plan
        value = getattr(part, option.key, None)
        if option.low is None or value is None:
            continue
        if value < option.low or (option.high is not None and value > option.high):
            most = "" if option.high is None else f" to {option.high}"
            raise PlanError(f"{option.key} is {value}; it must be from {option.low}{most}.")
    if plan.suite.startswith(UNNAMED):
        raise SuiteError(
            "The plan is that of a private run and does not name its suite: name it, too, as in "
            "`hybrid bench file:PATH --plan FILE`."
        )
    if plan.task:
        known_task(plan.task)
    for system in plan.systems:
        _check_system(system, plan)


def is_suite_name(name: str) -> bool:
    """Tell whether load_suite() may know it: a bundled suite, or one by a known prefix."""
    known = is_bundled(name) or (name.startswith(PREFIXES) and not name.endswith(":"))
    return known and len(name) <= LONGEST_NAME and name.isprintable()


def check_suite_name(name: str) -> None:
    """Raise SuiteError for what no suite can be named; load_suite() says which of the rest there are."""
    if not is_suite_name(name):
        forms = "sacrebleu:SET/PAIR, hf:DATASET:CONFIG:SPLIT, file:PATH"
        raise SuiteError(f"There is no suite {name!r}. Available: {', '.join(bundled_suites())}, {forms}.")


def _check_system(system: System, plan: Plan) -> None:
    """Its engine, where one is named, has its method and runs on such a device."""
    if system.trivial:
        raise PlanError(f"{system} needs no model and is not measured; `hybrid compare` sets it beside runs.")
    engine = plan.engine_of(system)
    if engine == AUTO and system.engine is None:
        return
    kind, device = spec_of(engine), plan.device.kind
    if device not in kind.dtypes:
        where = " and ".join(kind.dtypes)
        raise EngineError(f"The engine {engine} does not run on {plan.device}; it runs on {where}.")
    if system.method not in kind.methods:
        have = (name for name, k in ENGINES.items() if system.method in k.methods and device in k.dtypes)
        raise EngineError(
            f"The engine {engine} has no method {system.method}; these have it: {', '.join(have)}."
        )


def _object(data: bytes) -> dict[str, object]:
    """JSON where it begins as an object, else TOML. Raises ValueError."""
    if len(data) > LARGEST_FILE:
        raise ValueError(f"it has more than {LARGEST_FILE} bytes")
    try:
        text = data.decode("utf-8-sig")
        row = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} is not UTF-8") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return dict(row)


def _check_keys(row: Mapping[str, object], kind: type[Plan] | type[Sampling], where: str = "") -> None:
    known = [field.name for field in fields(kind)]
    for key in row:
        if key not in known:
            raise ValueError(f"there is no key {where + key!r}; there are {', '.join(known)}")
