"""`hybrid engines`: what can run the models here."""

from typing import Any

import click

from hybrid.cli.console import out, out_json, status
from hybrid.engines.registry import BEST, ENGINES, unavailable_reason
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
