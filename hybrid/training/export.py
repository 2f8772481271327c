"""The bundle of a recipe's trained systems, and what it says of how they were made."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import PreTrainedModel

from hybrid.errors import RecipeError
from hybrid.models.bundle import Bundle
from hybrid.models.manifest import file_sha256
from hybrid.models.pair_files import load_tokenizer
from hybrid.models.pair_format import ROLES, Role
from hybrid.models.references import Checkpoint
from hybrid.models.writing import save_pair
from hybrid.schema import MODELS, Model
from hybrid.training.cards import write_cards
from hybrid.training.checkpoint import LOG
from hybrid.training.data import prepared_texts, sources_path
from hybrid.training.models import CPU, trained
from hybrid.training.recipe import PRETRAINED, Recipe, Stage, prepared
from hybrid.training.sources import checkpoint_of


def export(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """Write the recipe's trained systems to `folder` as int8; returns the manifest.

    An LLM that no stage has trained is referred to, by its reference, revision and hashes, unless the
    recipe has store_llm.
    """
    tasks = [recipe.known_tasks[name] for name in dict.fromkeys(c.task for c in recipe.data.train)]
    reading = asdict(recipe.reading(recipe.stage(recipe.bundle["hybrid"])))
    about = {
        "recipe": recipe.name,
        "licence": recipe.licence,
        "seed": recipe.seed,
        "reading": {
            key: [*value] if isinstance(value, tuple) else value
            for key, value in reading.items()
            if value and key != "states_gb"
        },
        "bases": {role: base for role in ROLES if (base := _base(recipe, role))},
        "stages": {system: _history(recipe, recipe.bundle[system]) for system in MODELS},
        "training_data": _size_of_data(recipe),
        "exported_with": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    texts = {role: prepared_texts(recipe, role) for role in ROLES}
    models = {system: _model(recipe, recipe.bundle[system]) for system in MODELS}

    def beside(new: Path, manifest: Mapping[str, Any]) -> None:
        write_cards(new, manifest)
        _copy_logs(recipe, new)

    return save_pair(folder, texts, tasks, models, recipe.data.max_source, about, beside)


def stage_bundle(recipe: Recipe, stages: Sequence[str], device: torch.device = CPU) -> Bundle:
    """Load trained stages as a pair in memory, one of each kind at the most. Raises RecipeError.

    device: where they will answer, see trained().
    """
    texts = {role: prepared_texts(recipe, role) for role in ROLES}
    loaded: dict[Model, PreTrainedModel] = {}
    for name in stages:
        kind: Model = "llm" if name == PRETRAINED else recipe.stage(name).trains
        if kind in loaded:
            raise RecipeError(f"Stage {name!r} trains the {kind}, as another one does; name one of each.")
        loaded[kind] = trained(recipe, name, device)
    tokenizers = {role: load_tokenizer(t.tokenizer, t.tokens) for role, t in texts.items()}
    manifest = {
        "max_prompt_tokens": recipe.data.max_source,
        "tasks": {
            name: {k: v for k, v in asdict(t).items() if k != "name"} for name, t in recipe.used_tasks.items()
        },
        "prompts": {role: {n: asdict(f) for n, f in t.formats.items()} for role, t in texts.items()},
        "tokenizers": {
            role: {"file": role, "eos": t.eos, "more_eos_ids": t.more_eos_ids} for role, t in texts.items()
        },
        "sha256": {role: file_sha256(t.tokenizer) for role, t in texts.items()},
    }
    return Bundle(recipe.name, manifest, tokenizers, loaded)


def _model(recipe: Recipe, stage: str) -> PreTrainedModel | Checkpoint:
    if stage == PRETRAINED and recipe.llm.reference is not None and not recipe.store_llm:
        return checkpoint_of(recipe.llm.reference, "llm")
    return trained(recipe, stage)


def _base(recipe: Recipe, role: Role) -> dict[str, Any]:
    """Say of which pretrained model a role's was made: as the recipe names it, its licence and hashes."""
    reference = recipe.part(role).reference
    if reference is None:
        return {}
    base = checkpoint_of(reference, role)
    hashes = {name: base.sha256[name] for name in base.weight_files}
    return {"from": reference, "revision": base.revision, "licence": base.licence, "sha256": hashes}


def _history(recipe: Recipe, stage: str) -> dict[str, Any]:
    """Read steps, time and last held-out losses of a stage and of those it started from, from their logs."""
    if stage == PRETRAINED:
        return {"stage": stage}
    events = list(_events(recipe.out / stage / LOG))
    dev = [e["values"] for e in events if e["kind"] == "dev"]
    rates = sorted(e["values"]["tokens_per_s"] for e in events if e["kind"] == "progress")
    devices = [e["values"]["device"] for e in events if e["kind"] == "start"]
    start = recipe.stage(stage).starts_from
    return {
        "stage": stage,
        "trains": recipe.stage(stage).trains,
        **({"starts_from": _history(recipe, start)} if start else {}),
        "steps": events[-1]["step"],
        "tokens_per_step": recipe.stage(stage).tokens_per_step,
        "settings": _settings(recipe.stage(stage)),
        "device": devices[-1] if devices else None,
        "median_padded_tokens_per_s": round(rates[len(rates) // 2]) if rates else None,
        "device_hours": sum(_hours_of_sessions(events)),
        "dev_losses_nats_per_token": dev[-1] if dev else None,
    }


def _settings(stage: Stage) -> dict[str, Any]:
    """Take what a stage's recipe says beside what every stage has, and what its optimizer goes by."""
    rates = ("optimizer", *(("lr",) if stage.optimizer == "adamw" else ("matrix_lr", "vector_lr")))
    named = ("name", "trains", "steps", "tokens_per_step", "starts_from")
    usual = {f.name: f.default for f in fields(stage)}
    return {
        key: value
        for key, value in asdict(stage).items()
        if key in (*rates, "label_smoothing") or (key not in named and value != usual[key])
    }


def _copy_logs(recipe: Recipe, folder: Path) -> None:
    """Put the log of each model's training beside its card: its stage's, and of those it started from."""
    for system in MODELS:
        stage, name = recipe.bundle[system], "training.jsonl"
        while stage != PRETRAINED:
            shutil.copyfile(recipe.out / stage / LOG, folder / system / name)
            stage = recipe.stage(stage).starts_from or PRETRAINED
            name = f"training-{stage}.jsonl"


def _events(log: Path) -> Iterator[dict[str, Any]]:
    """Read a stage's log, but for lines that a kill or a full disk has torn."""
    for line in log.read_bytes().splitlines():
        with suppress(ValueError):
            yield json.loads(line)


def _hours_of_sessions(events: list[dict[str, Any]]) -> list[float]:
    """Device hours of each session of a stage that was stopped and resumed, as last logged."""
    hours: list[float] = []
    for event in events:
        if event["kind"] == "start" or not hours:
            hours.append(0.0)
        elif "device_hours" in event["values"]:
            hours[-1] = event["values"]["device_hours"]
    return hours


def _size_of_data(recipe: Recipe) -> dict[str, Any]:
    arrays = np.load(prepared(recipe))
    sources = sources_path(prepared(recipe))
    lengths = {side: arrays[f"{side}_lengths"] for side in ("source", "target")}
    return {
        "examples": len(lengths["source"]),
        **{f"{side}_tokens": int(values.sum(dtype=np.int64)) for side, values in lengths.items()},
        "sha256": file_sha256(prepared(recipe)),
        # Not there where the data were prepared by an earlier version.
        "sources": json.loads(sources.read_bytes()) if sources.is_file() else [],
    }
