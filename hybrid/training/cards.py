"""The cards (README.md) of a trained pair and of its models: what its manifest knows, and nothing else."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hybrid.errors import EngineError
from hybrid.format import counted, listed, printable
from hybrid.models.architectures import sizes_of
from hybrid.models.writing import CARD, GENERATED
from hybrid.schema import MODELS, Model
from hybrid.training.recipe import PRETRAINED

LABELS: Mapping[Model, str] = {"llm": "LLM", "slm": "SLM", "hybrid": "hybrid"}
HUB = "hub:"
LONGEST_REFERENCE = 1000  # characters, of a path perhaps
MODELS_COLUMNS = ("model", "parameters", "what it is")
TASK_COLUMNS = ("task", "languages", "before a text", "behind it")
DATA_COLUMNS = ("file", "task", "source", "examples", "draws of each in an epoch, on average")
STAGE_COLUMNS = ("stage", "starts from", "updates", "padded tokens per update", "device", "device time",
                 "padded tokens/s", "held-out cross-entropy", "held-out KL to the LLM")  # fmt: skip
INTRODUCTION = (
    "A pair for comparing a large model (**LLM**), a small one (**SLM**) and the **hybrid** of both, in "
    "which the frozen LLM reads the prompt and the small model writes. This card says what `pair.json` knows."
)
TEXTS = (
    "The texts that the pair was trained on are not part of it; each is under its own licence, which the "
    "recipe does not state."
)
ONCE = "Each model was trained once, from one seed ({seed}): how another training would differ is not known."
ALIKE = "SLM and hybrid had the same start, data, updates and settings: they differ in the LLM's latent."
UNMEASURED = (
    "Beside the held-out losses nothing has measured its quality: `hybrid evaluate FILE --pair {name}` and "
    "`hybrid bench` do."
)

LOGS = " The log of its training lies beside this card, `training.jsonl`, with those of the stages before."

About = Mapping[str, Any]  # how a pair was made, or one stage of that, as export.py has it


def write_cards(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write README.md of the pair in `folder` and of each of its models. Raises OSError."""
    (folder / CARD).write_text(pair_card(folder, manifest), "utf-8")
    for model in MODELS:
        (folder / model / CARD).write_text(model_card(folder, manifest, model), "utf-8")


def pair_card(folder: Path, manifest: Mapping[str, Any]) -> str:
    """Write the card of the pair, whose other files lie in `folder`."""
    name, about, counts = manifest["name"], manifest["about"], manifest["parameters"]
    models = [(f"[{LABELS[m]}]({m}/{CARD})", f"{counts[m]:,}", _origin(about, m)) for m in MODELS]
    tasks = [
        (f"`{task}`", _languages([own]) or "not stated", _code(own["prefix"]), _code(own["suffix"]))
        for task, own in manifest["tasks"].items()
    ]
    files = [
        (f"`{f}`", f"{(folder / f).stat().st_size:,}", digest) for f, digest in manifest["sha256"].items()
    ]
    return _joined(
        _front(manifest, about["licence"], about["bases"].values()),
        f"# {name}",
        INTRODUCTION,
        _table(MODELS_COLUMNS, models),
        _table(TASK_COLUMNS, tasks),
        f"A prompt has {manifest['max_prompt_tokens']:,} tokens at the most.",
        *_base(about),
        *_data(about["training_data"]),
        *_recipe(about),
        "## Files",
        _table(("file", "bytes", "SHA-256"), files),
        "## Limits of this comparison",
        "\n".join(f"- {line}" for line in _limits(name, about)),
    )


def model_card(folder: Path, manifest: Mapping[str, Any], model: Model) -> str:
    """Write the card of one model of the pair in `folder`."""
    about = manifest["about"]
    untrained, base = about["stages"][model]["stage"] == PRETRAINED, _base_of(about, model)
    return _joined(
        _front(manifest, base["licence"] if untrained else about["licence"], [base] if base else []),
        f"# {LABELS[model][:1].upper()}{LABELS[model][1:]} of {manifest['name']}",
        _shape(folder, manifest, model),
        f"It is {_origin(about, model)}." if untrained else f"It was {_origin(about, model)}.",
        *_sentences(about, _chain(about["stages"][model])),
        f"Data and licences, recipe and hashes: [the pair's card](../{CARD}).{'' if untrained else LOGS}",
    )


def _front(manifest: Mapping[str, Any], licence: str, bases: Iterable[About]) -> str:
    """Write what the Hub reads of a card, and the line by which one is known that may be written anew."""
    ids = (base["from"].removeprefix(HUB).partition("@")[0] for base in bases if base["from"].startswith(HUB))
    named = dict.fromkeys("/".join(name.split("/")[:2]) for name in ids)  # without the file of a GGUF
    lines = {
        "license": licence,
        "language": _in_brackets(_languages(manifest["tasks"].values(), ", ")),
        "base_model": _in_brackets(", ".join(named)),
    }
    stated = (f"{key}: {value}" for key, value in lines.items() if value)
    return "\n".join(["---", *stated, "---", GENERATED])


def _base(about: About) -> Iterator[str]:
    """Say which licences there are, and which pretrained models the pair was made of."""
    yield "## Base and licence"
    licence = f"{about['licence']}, as the recipe states" if about["licence"] else "not stated by the recipe"
    yield f"Licence of the weights that were trained: {licence}. {TEXTS}"
    for role, base in about["bases"].items():
        licence = f"licence {printable(base['licence'])}, as its source states" if base["licence"] else ""
        yield f"Base of the {LABELS[role]}: {_reference(base)}, {licence or 'licence not stated'}."
        yield _table(("file", "SHA-256"), [(f"`{name}`", digest) for name, digest in base["sha256"].items()])


def _data(data: About) -> Iterator[str]:
    yield "## Data"
    yield (
        f"{counted(data['examples'], 'example')} with {data['source_tokens']:,} tokens of prompts and "
        f"{data['target_tokens']:,} of answers; SHA-256 of the prepared data: {data['sha256']}."
    )
    rows = [
        (_cell(row["file"]), f"`{row['task']}`", _cell(row["source"]), f"{row['examples']:,}",
         f"{row['repeats']:.2f}")
        for row in sorted(data["sources"], key=lambda row: -row["examples"])
    ]  # fmt: skip
    yield _table(DATA_COLUMNS, rows)


def _recipe(about: About) -> Iterator[str]:
    versions = listed([f"{name} {version}" for name, version in about["exported_with"].items()])
    yield "## Recipe"
    yield (
        f"`{about['recipe']}`, seed {about['seed']}, by `hybrid train`, exported with {versions}. Matrices "
        "are stored as int8 rows. Held-out losses are the last ones, in nats per token."
    )
    histories = {h["stage"]: h for model in MODELS for h in _chain(about["stages"][model])}.values()
    yield _table(STAGE_COLUMNS, [_row(about, history) for history in histories])
    yield from _sentences(about, histories)


def _limits(name: str, about: About) -> Iterator[str]:
    yield ONCE.format(seed=about["seed"])
    slm, hybrid = (
        {"updates": h["steps"], "tokens per update": h["tokens_per_step"], "start": _start(about, h)}
        | {key: value for key, value in h["settings"].items() if key not in ("reads_with", "layer")}
        for h in (about["stages"]["slm"], about["stages"]["hybrid"])
    )
    apart = sorted(key for key in slm.keys() | hybrid.keys() if slm.get(key) != hybrid.get(key))
    yield f"SLM and hybrid differ in more than the LLM's latent: in {listed(apart)}." if apart else ALIKE
    yield UNMEASURED.format(name=name)


def _chain(history: About) -> Iterator[About]:
    """Yield the stages that a model came through, first ones first."""
    if "starts_from" in history:
        yield from _chain(history["starts_from"])
    if history["stage"] != PRETRAINED:
        yield history


def _row(about: About, history: About) -> tuple[str, ...]:
    losses, rate = history["dev_losses_nats_per_token"] or {}, history["median_padded_tokens_per_s"]
    return (
        history["stage"],
        _start(about, history),
        f"{history['steps']:,}",
        f"{history['tokens_per_step']:,}",
        history["device"] or "",
        f"{history['device_hours']:.3g} h",
        f"{rate:,}" if rate else "",
        f"{losses['cross_entropy']:.3f}" if losses else "",
        f"{losses['kl']:.3f}" if losses.get("kl") else "",  # zero where no teacher is matched
    )


def _sentences(about: About, histories: Iterable[About]) -> Iterator[str]:
    """Write a sentence a stage: its updates, time and settings."""
    for history in histories:
        settings = ", ".join(f"{key} {value}" for key, value in history["settings"].items())
        yield (
            f"Stage `{history['stage']}`, from {_start(about, history)}: {history['steps']:,} updates of "
            f"{history['tokens_per_step']:,} padded tokens in {history['device_hours']:.3g} hours of "
            f"device time ({settings})."
        )


def _start(about: About, history: About) -> str:
    """Name what a stage starts from."""
    named = history.get("starts_from", {}).get("stage", PRETRAINED)
    if named != PRETRAINED:
        return f"`{named}`"
    base = _base_of(about, history["trains"])
    return _reference(base) if base else "scratch"


def _origin(about: About, model: Model) -> str:
    """Say what a model was made of."""
    base = _base_of(about, model)
    start = f"from {_reference(base)}" if base else "from scratch"
    if about["stages"][model]["stage"] == PRETRAINED:
        return f"{_reference(base)}, untrained here"
    return (
        f"trained {start}, its projector from scratch" if model == "hybrid" and base else f"trained {start}"
    )


def _base_of(about: About, model: Model) -> Any:
    """Give the pretrained model that the LLM, or what writes in SLM and hybrid, was made of; or None."""
    return about["bases"].get("llm" if model == "llm" else "slm")


def _reference(base: About) -> str:
    revision = f" (commit {base['revision']})" if base["revision"] else ""
    return f"{_cell(base['from'])}{revision}"


def _shape(folder: Path, manifest: Mapping[str, Any], model: Model) -> str:
    """Describe a model by its configuration, as far as a family of architectures covers it."""
    count = counted(manifest["parameters"][model], "parameter")
    if model == "hybrid":
        reading = ", ".join(f"{key} {value}" for key, value in manifest["about"]["reading"].items())
        return (
            f"{count}: those of a projector and of a writer, of the shape of the [SLM](../slm/{CARD}). The "
            f"frozen [LLM](../llm/{CARD}) reads for it ({reading}); its weights are neither counted nor here."
        )
    config = json.loads((folder / model / "config.json").read_bytes())
    described = f"Of transformers' family {config.get('model_type')}, {count}"
    with suppress(EngineError):  # a family that is not covered is described by its name alone
        sizes = sizes_of(config)
        layers = f"{sizes.decoder_layers} layers"
        if not sizes.decoder_only:
            layers = f"{sizes.encoder_layers} encoder and {sizes.decoder_layers} decoder layers"
        described += (
            f": {sizes.d_model} wide, feed-forward of {sizes.d_ff}, {sizes.heads} heads of "
            f"{sizes.head_width}, {layers}, vocabulary {sizes.vocabulary:,}"
        )
    where = (
        " Its weights are not in this folder: `pair.json` says where they are." if manifest.get(model) else ""
    )
    return f"{described}.{where}"


def _languages(tasks: Iterable[Mapping[str, Any]], between: str = " to ") -> str:
    """Write the languages of tasks, each once."""
    codes = (own[key] for own in tasks for key in ("source_language", "target_language"))
    return between.join(dict.fromkeys(filter(None, codes)))


def _joined(*parts: str) -> str:
    return "\n\n".join(filter(None, parts)) + "\n"


def _in_brackets(names: str) -> str:
    return f"[{names}]" if names else ""


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table in Markdown; nothing where it has no rows."""
    lines = (columns, ["---"] * len(columns), *rows) if rows else ()
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """Write a name from elsewhere so that it stays in its cell."""
    return printable(text, LONGEST_REFERENCE).replace("|", "\\|")


def _code(text: str) -> str:
    """Write words of a task as they are, line ends as \\n."""
    quoted = json.dumps(text, ensure_ascii=False)[1:-1].replace("`", "'").replace("|", "\\|")
    return f"`{quoted}`" if text else ""
