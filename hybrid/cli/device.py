"""`hybrid engines`: what can run models here. `hybrid device`: how fast one of them does.

`hybrid predict` lays that out over sizes.
"""

import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from hybrid.cli.console import Terminal, harmless, notice, out, out_json, status
from hybrid.cli.options import engine_options, price_option, wait_option
from hybrid.engines.registry import AUTO, BEST, ENGINES, default_dtype, unavailable_reason
from hybrid.format import bandwidth, counted, percent
from hybrid.measuring import collector_off
from hybrid.schema import Device, Observer, Status

if TYPE_CHECKING:
    from hybrid.schema import Environment
    from hybrid.sizing import Costs, Profile

LONGEST, LARGEST_BATCH = 65_536, 4_096


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the engines as one JSON list.")
def engines(as_json: bool) -> None:
    """List the engines: what they run on, what they can, and why one does not run here."""
    with status("Looking at each engine"), collector_off():
        rows = [_engine_row(name) for name in ENGINES]
    if as_json:
        out_json(rows)
        return
    for row in rows:
        out(f"{row['name']}: {row['about']}")
        for device, dtypes in row["dtypes"].items():
            reason = row["missing"][device]
            state = "no" if reason else "yes, the choice of --engine auto" if device in row["auto"] else "yes"
            out(f"  {device} ({', '.join(dtypes)}): {state}{'. ' + reason if reason else ''}")
        out(f"  systems: {', '.join(row['systems'])}")
        for option, about in row["options"].items():
            out(f"  --engine-option {option}={'|'.join(about['choices'])}: {about['about']}")


@click.command()
@engine_options
@click.option("--name", metavar="NAME", help="Of the profile. [default: device, engine and precision]")
@wait_option
@click.option("--json", "as_json", is_flag=True, help="Print the profile as one JSON object.")
def device(name: str | None, wait: float, as_json: bool, **options: Any) -> None:
    """Measure a profile of this machine and an engine on it, in half a minute.

    Memory, arithmetic, and the engine itself on small models with random
    weights. `hybrid predict` makes of it how long models of any size would take.
    Profiles lie in results/devices/, or where HYBRID_RESULTS says; one of the
    same name is replaced.
    """
    order = {field: options[field] for field in ("device", "dtype", "threads")}
    order["options"] = options["engine_option"]
    with Terminal() as terminal:
        terminal(Status(sentence="Starting"))
        with collector_off():
            from hybrid.sizing import save_profile, stranger
            from hybrid.sizing.profile import check_name

            if name is not None:
                check_name(name)
            profile = _measured(name, str(options["engine"]), order, wait, terminal)
            doubt = stranger(profile)
        path = save_profile(profile)
    if as_json:
        out_json(asdict(profile))
    else:
        for line in _report(profile):
            out(harmless(line))
    notice(f"Stored as {path}.")
    if doubt is not None:
        notice(doubt.sentence)


@click.command()
@click.option("--llm", required=True, metavar="NAME", help="Of the model that reads, such as t5-large.")
@click.option("--slm", required=True, metavar="NAME", help="Of the model that writes, such as t5-small.")
@click.option(
    "--prompt", type=click.IntRange(1, LONGEST), default=128, show_default=True, help="Tokens of a prompt."
)
@click.option(
    "--output", type=click.IntRange(1, LONGEST), default=64, show_default=True, help="Tokens of an answer."
)
@click.option(
    "--batch", type=click.IntRange(1, LARGEST_BATCH), default=1, show_default=True, help="Prompts at once."
)
@click.option(
    "--profile",
    metavar="NAME",
    help="As `hybrid device` stored it. [default: this machine's newest, else the newest]",
)
@price_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def predict(llm: str, slm: str, profile: str | None, as_json: bool, **options: Any) -> None:
    """Predict how long an LLM, an SLM and their hybrid would take, without running them.

    NAMES of models are those of `hybrid latency --shapes`, or paths to a
    config.json. Of an LLM that is called NAME@20 the hybrid reads layer 20,
    of NAME@10+20 two layers side by side, of NAME@whole all of it; without,
    what the pair's own hybrid reads, else all. What `hybrid device` measured on a
    machine is laid out over the sizes of the models. Every number is predicted; how far such predictions
    were off on a stored grid of this machine is said below them, unless the
    profile is of another one, or sizes lie beyond what it was measured at.
    """
    from hybrid.cli.predict_report import Outlook, as_object, report
    from hybrid.models.known_shapes import find_shape
    from hybrid.sizing import Pair, Request, load_profile, read_profiles

    pair = Pair(find_shape(llm), find_shape(slm))
    request = Request(options["prompt"], options["output"], options["batch"])
    outlook = Outlook.of(pair, request, load_profile(profile), options["price_per_hour"])
    for problem in read_profiles()[1] if profile is None else ():
        notice(problem)
    if as_json:
        out_json(as_object(outlook))
        return
    for line in report(outlook):
        out(harmless(line))


def _engine_row(name: str) -> dict[str, Any]:
    """Give what --json prints of one engine. missing: by device, None where it runs."""
    kind = ENGINES[name]
    return {
        "name": name,
        "about": kind.about,
        "dtypes": {device: list(dtypes) for device, dtypes in kind.dtypes.items()},
        "systems": list(kind.methods),
        "options": {o: {"choices": list(a.choices), "about": a.about} for o, a in kind.options.items()},
        "missing": {device: unavailable_reason(name, Device(device)) for device in kind.dtypes},
        "auto": [device for device in kind.dtypes if name == _chosen(device)],
    }


def _chosen(device: str) -> str:
    return next(
        name
        for name in BEST[device]
        if name == BEST[device][-1] or not unavailable_reason(name, Device(device))
    )


def _measured(
    name: str | None, engine: str, order: dict[str, Any], wait: float, observer: Observer
) -> "Profile":
    """Measure the profile while nothing else is measured."""
    from hybrid.measuring.environment import environment
    from hybrid.measuring.lock import measuring
    from hybrid.sizing.calibration import fastest_engine, measured_profile
    from hybrid.sizing.decoder_only import with_decoder_only

    if engine == AUTO:
        engine = fastest_engine(order, observer)
    order["dtype"] = order["dtype"] or default_dtype(engine, order["device"])
    named = name or _name(environment(order["device"], ""), engine, order)
    with measuring(named, "device", wait, observer):
        return with_decoder_only(measured_profile(named, engine, order, observer), order, observer)


def _name(here: "Environment", engine: str, order: dict[str, Any]) -> str:
    """Such as amd-epyc-5b1f03-torch-float32, with digits of the machine: others bear its name, too."""
    threads = f"{order['threads']} threads" if order["device"] == "cpu" and order["threads"] > 1 else ""
    options = (f"{name} {value}" for name, value in sorted(order["options"].items()))
    parts = here.device_name[:60], here.hardware.fingerprint, engine, order["dtype"], threads, *options
    return re.sub(r"[^0-9a-z]+", "-", " ".join(filter(None, parts)).lower()).strip("-")[:100]


def _report(profile: "Profile") -> Iterator[str]:
    """Lines of text: the device's limits, and what of them the engine reaches."""
    from hybrid.models.arithmetic import bytes_per_weight

    machine, each = profile.machine, bytes_per_weight(profile.dtype)
    yield (
        f"{profile.name}: {profile.engine} on {profile.environment.device_name}, {profile.dtype}; "
        f"{profile.shapes} small models in {profile.took_s:.0f} s, "
        f"which the costs below fit with a median error of {percent(profile.fit_error)}."
    )
    yield f"memory: {bandwidth(machine.bandwidth)} ({machine.dtype} products of one row)"
    sets = ", ".join(f"{size / 2**20:.0f} MiB {rate / 1e9:,.0f}" for size, rate in machine.by_working_set)
    yield f"  GB/s when as much is read over and over: {sets}"
    rates = ", ".join(f"{rows:.0f} {_flops(rate)}" for rows, rate in machine.rates)
    yield f"arithmetic by rows: {rates}"
    for costs in profile.step:
        pieces = [_small(costs)]
        if weight := _weight(costs):
            pieces.append(f"weights at {bandwidth(each / weight)}")
        if beyond := costs.seconds.get("uncached", 0.0):
            pieces.append(f"from memory at {bandwidth(each / (weight + beyond))}")
        yield f"a decode step of {counted(costs.batch, 'answer')}: {', '.join(pieces)}"
    for costs in profile.encode:
        rows = costs.batch * costs.tokens
        pieces = [_small(costs)]
        if weight := _weight(costs):
            pieces.append(f"matrices at {_flops(2 * rows / weight)}")
        read = f"{counted(costs.batch, 'prompt')} of {costs.tokens} tokens"
        yield f"reading {read}: {', '.join(pieces)}"


def _weight(costs: "Costs") -> float:
    """Seconds of each weight of its matrices; 0 where what small models took did not tell."""
    return costs.seconds.get("weights", 0.0)


def _small(costs: "Costs") -> str:
    fixed, layer = (1e6 * costs.seconds.get(term, 0.0) for term in ("fixed", "layers"))
    return f"{fixed:,.0f} us, {layer:,.0f} us a layer"


def _flops(rate: float) -> str:
    return f"{rate / 1e12:,.0f} TFLOP/s" if rate >= 1e13 else f"{rate / 1e9:,.0f} GFLOP/s"
