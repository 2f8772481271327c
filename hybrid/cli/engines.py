"""`hybrid engines` and `hybrid pairs`: what can run the models here, and which models there are."""

from typing import Any

import click

from hybrid.cli.console import harmless, notice, out, out_json, status
from hybrid.engines.registry import BEST, ENGINES, unavailable_reason
from hybrid.format import listed, parameters
from hybrid.measuring import collector_off
from hybrid.schema import Device


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the engines as one JSON list.")
def engines(as_json: bool) -> None:
    """List the engines: what they run on, what they can, and why one does not run here."""
    with status("Looking at each engine"), collector_off():
        rows = [_row(name) for name in ENGINES]
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


def _row(name: str) -> dict[str, Any]:
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


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the manifests as one JSON list.")
def pairs(as_json: bool) -> None:
    """List the pairs of models that are here."""
    from hybrid.models.manifest import available_pairs, zoos

    manifests = available_pairs(observer=lambda event: notice(getattr(event, "sentence", "")))
    if as_json:
        out_json(list(manifests.values()))
        return
    if not manifests:
        notice(f"There are no pairs in {listed([*map(str, zoos())])}.")
    for name, manifest in manifests.items():
        sizes = ", ".join(f"{system} {parameters(n)}" for system, n in manifest["parameters"].items())
        limit = f"up to {manifest['max_prompt_tokens']} prompt tokens"
        out("\t".join(map(harmless, [name, sizes, ", ".join(manifest["tasks"]), limit])))
