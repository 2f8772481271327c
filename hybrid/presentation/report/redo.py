"""How to make a run again: the command that would, from its plan."""

import shlex

from hybrid.schema import Plan

_DEFAULT = Plan("", "", "", "")
_ELSEWHERE = ("file:", "hf:")  # suites whose columns may have to be named


def bench_command(plan: Plan) -> str:
    """`hybrid bench SUITE ...`, to be pasted into a shell: whatever names hold, they are quoted."""
    sampling = plan.sampling
    options: dict[str, object] = {
        "systems": ",".join(plan.systems),
        "pair": plan.pair,
        "engine": plan.engine,
        "device": plan.device,
        "dtype": plan.dtype,
        "threads": plan.threads,
    }
    for name in ("batch_size", "limit", "repeats", "seed"):
        if (value := getattr(plan, name)) != getattr(_DEFAULT, name):
            options[name.replace("_", "-")] = value
    if sampling.ignore_eos:
        options["fixed-length"] = sampling.max_new_tokens
    elif sampling.max_new_tokens != _DEFAULT.sampling.max_new_tokens:
        options["max-new-tokens"] = sampling.max_new_tokens
    if plan.suite.startswith(_ELSEWHERE):
        options["task"] = plan.task
    given = [*options.items(), *(("engine-option", f"{k}={v}") for k, v in plan.engine_options.items())]
    words = [word for name, value in given for word in _option(name, str(value))]
    suite = ["--", plan.suite] if plan.suite.startswith("-") else [plan.suite]
    return shlex.join(["hybrid", "bench", *words, *suite])


def _option(name: str, value: str) -> list[str]:
    return [f"--{name}={value}"] if value.startswith("-") else [f"--{name}", value]
