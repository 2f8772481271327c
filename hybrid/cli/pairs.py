"""`hybrid pairs`: which pairs of models there are, add one, remove one."""

from collections.abc import Mapping
from typing import Any

import click

from hybrid.cli.console import Terminal, harmless, notice, out, out_json
from hybrid.format import listed, parameters
from hybrid.schema import MODELS, TASKS, Task

TEXT = "{text}"  # stands for a text among a task's words
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print the manifests as one JSON list.")


@click.group(invoke_without_command=True)
@AS_JSON
@click.pass_context
def pairs(ctx: click.Context, as_json: bool) -> None:
    """List the pairs of models that are here; add and remove your own."""
    if ctx.invoked_subcommand is None:
        _list(as_json)


@pairs.command("list")
@AS_JSON
def list_pairs(as_json: bool) -> None:
    """List the pairs: sizes and families, tasks, longest prompt, licence, and the hybrid if there is one."""
    _list(as_json)


@pairs.command()
@click.argument("name")
@click.option("--llm", required=True, metavar="REF", help="The model that reads in a hybrid.")
@click.option("--slm", required=True, metavar="REF", help="The model that writes in a hybrid.")
@click.option(
    "--task", "tasks", multiple=True, metavar="NAME[:SOURCE-TARGET][=WORDS]",
    help="A task of the pair, its languages where the name does not say them, and the words before a "
    "text, or around {text}, in which \\n is a line end: 'translate-en-fr=Translate into French: ', "
    "'translate-en-de=English: {text}\\nGerman:', 'brief:en-de=Summarize in German: '. One that is not named "
    "translate-SOURCE-TARGET is scored as a summary. May be given more than once.  [default: "
    f"{', '.join(TASKS)}]",
)  # fmt: skip
@click.option(
    "--max-prompt-tokens", type=click.IntRange(16, 2**20), metavar="N",
    help="Longest prompt.  [default: 1024, or what both models read]",
)  # fmt: skip
def add(name: str, llm: str, slm: str, tasks: tuple[str, ...], max_prompt_tokens: int | None) -> None:
    """Add a pair of two models, without training: they answer side by side; its hybrid is yet to be made.

    REF: a folder, hub:org/name[@revision], a GGUF file, or PAIR/llm and PAIR/slm of a pair that is here.
    """
    from hybrid.models.manifest import read_manifest
    from hybrid.models.pair_summary import how_to_train
    from hybrid.models.writing import add_pair

    own = tuple(map(_task, tasks)) or tuple(TASKS.values())
    with Terminal() as terminal:
        folder = add_pair(name, llm, slm, own, max_prompt_tokens, terminal)
    manifest = read_manifest(folder)
    out(_row(name, manifest))
    notice(how_to_train(name, manifest))


@pairs.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def remove(names: tuple[str, ...]) -> None:
    """Remove pairs of your own; models that they only refer to stay where they are."""
    from hybrid.models.writing import remove_pair

    for name in dict.fromkeys(names):
        notice(f"{remove_pair(name)} was removed.")


def _list(as_json: bool) -> None:
    from hybrid.models.manifest import available_pairs, zoos

    manifests = available_pairs(observer=lambda event: notice(getattr(event, "sentence", "")))
    if as_json:
        out_json(list(manifests.values()))
        return
    if not manifests:
        notice(f"There are no pairs in {listed([*map(str, zoos())])}.")
    for name, manifest in manifests.items():
        out(_row(name, manifest))


def _row(name: str, manifest: Mapping[str, Any]) -> str:
    """Give a pair as cells with tabs between them."""
    from hybrid.models.pair_summary import families, hybrid_of, licences

    kinds, counts = families(name), manifest["parameters"]
    sizes = (
        " ".join(filter(None, (model, parameters(counts[model]), kinds.get(model, ""))))
        for model in MODELS
        if counts.get(model) is not None
    )
    limit = f"up to {manifest['max_prompt_tokens']} prompt tokens"
    cells = [name, ", ".join(sizes), ", ".join(manifest["tasks"]), limit, licences(name), hybrid_of(name)]
    return "\t".join(map(harmless, cells))


def _task(text: str) -> Task:
    """Read NAME, NAME=WORDS or NAME:SOURCE-TARGET=WORDS; WORDS stand before a text, or around {text}."""
    from dataclasses import replace

    from hybrid.schema import task_named

    head, given, words = text.partition("=")
    name, stated, languages = head.partition(":")
    task = task_named(name)
    if stated:
        source, parted, target = languages.partition("-")
        if not (source and parted and target):
            raise click.BadParameter(
                f"{languages!r} are no two languages; write SOURCE-TARGET, such as {name}:en-de"
            )
        task = replace(task, source_language=source, target_language=target)
    if not given:
        return task
    before, *after = words.replace(r"\n", "\n").split(TEXT)  # what a shell's quotes leave of a line end
    if len(after) > 1:
        raise click.BadParameter(
            f"{words!r} has {TEXT} {len(after)} times; write it once, where the text stands"
        )
    return replace(task, prefix=before, suffix="".join(after))
