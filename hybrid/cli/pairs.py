"""`hybrid pairs`: which pairs of models are here."""

import json

import click

from hybrid.cli.console import notice, out


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the manifests as one JSON list.")
def pairs(as_json: bool) -> None:
    """List the pairs of models that are here."""
    from hybrid.models.manifest import available_pairs, zoo

    manifests = available_pairs()
    if as_json:
        out(json.dumps(list(manifests.values()), ensure_ascii=False, indent=1))
        return
    if not manifests:
        notice(f"There are no pairs in {zoo()}.")
    for name, manifest in manifests.items():
        sizes = ", ".join(f"{system} {n / 1e6:.1f}M" for system, n in manifest["parameters"].items())
        limit = f"up to {manifest['max_prompt_tokens']} prompt tokens"
        out("\t".join([name, sizes, ", ".join(manifest["tasks"]), limit]))
