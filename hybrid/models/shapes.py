"""Sizes of models that people know, as data: speed follows from them alone, not from weights.

shapes.csv holds what the published config.json of each model says: T5 (Raffel et
al. 2020), T5 v1.1 (Shazeer 2020), Flan-T5 (Chung et al. 2022), mT5 (Xue et al.
2021), BART (Lewis et al. 2020), OPUS-MT (Tiedemann and Thottingal 2020), T5Gemma
(Zhang et al. 2025), GPT-2 (Radford et al. 2019), Pythia (Biderman et al. 2023), Llama,
TinyLlama, SmolLM2, Qwen2.5, Qwen3 and Gemma 3 (2024 and 2025). Beside them stand the bundled
pair's two models, and any config.json that is named by its path. Nothing here imports torch.
"""

import csv
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

from hybrid.errors import PairError
from hybrid.models.architectures import architecture_of
from hybrid.models.manifest import available_pairs, checked, find_pair
from hybrid.models.pair_format import ROLES
from hybrid.models.shape_families import KINDS, Kind, feed_forward_of

BUCKETS = 32  # of distances, for the relative position bias of every published T5
BUNDLED: Mapping[str, str] = {"bundled-llm": "llm", "bundled-slm": "slm"}  # of the first pair that is here
CONFIG = "config.json"
_CHECKPOINT = re.compile(r"(checkpoint|step|epoch)[-_]?\d+", re.IGNORECASE)  # as trainers name folders
_LARGEST_SIZE = 10_000_000  # of any number in a config.json: what lies above it is a slip


@dataclass(frozen=True)
class Shape:
    """Sizes of one model.

    family: transformers' model_type. d_kv: width of one head. feed_forward: its
    activation, gated or not. tied_head: the output matrix is that of the
    embeddings. encoder_layers: 0 of a decoder-only model. positions: the most
    tokens of a prompt, or of an answer, together in a decoder-only model; None
    where positions are relative or rotary. parameters: of the whole model. source:
    its page on the Hugging Face Hub, or where its config.json is from.
    key_value_heads: None where they are as many as heads.
    """

    name: str
    family: str
    d_model: int
    d_ff: int
    heads: int
    d_kv: int
    encoder_layers: int
    decoder_layers: int
    vocabulary: int
    feed_forward: str
    tied_head: bool
    positions: int | None
    parameters: int
    source: str
    key_value_heads: int | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.family not in KINDS:
            raise ValueError(f"family is {self.family!r}, not one of {', '.join(KINDS)}")
        known = self.kind.feed_forwards
        if self.feed_forward not in known:
            raise ValueError(f"feed_forward is {self.feed_forward!r}, not one of {', '.join(known)}")
        for size in fields(self):
            value = getattr(self, size.name)
            if size.name == "encoder_layers" and self.decoder_only:
                if value:
                    raise ValueError(f"encoder_layers is {value}, and a {self.family} is decoder-only")
            elif size.type is int and size.name != "parameters" and not 0 < value <= _LARGEST_SIZE:
                raise ValueError(f"{size.name} is {value}; it must be 1 to {_LARGEST_SIZE:,}")
        if self.grouped_heads < 1 or self.heads % self.grouped_heads:
            raise ValueError(f"key_value_heads is {self.key_value_heads}, for {self.heads} heads")

    @property
    def fingerprint(self) -> str:
        """Give 6 hexadecimal digits of its sizes, whatever it is called and wherever it is from."""
        grouped = self.key_value_heads or ""
        return sha256(f"{replace(self, name='', source='')!r}{grouped}".encode()).hexdigest()[:6]

    @property
    def kind(self) -> Kind:
        """What its family's layers consist of."""
        return KINDS[self.family]

    @property
    def decoder_only(self) -> bool:
        """Whether the prompt is the beginning of what the decoder writes, and nothing else reads it."""
        return self.kind.decoder_only

    @property
    def grouped_heads(self) -> int:
        """G: heads of keys and values, each of which serves as many of the queries."""
        return self.heads if self.key_value_heads is None else self.key_value_heads

    @property
    def reading_layers(self) -> int:
        """Layers that a prompt goes through: the encoder's, or all of a decoder-only model."""
        return self.decoder_layers if self.decoder_only else self.encoder_layers

    @property
    def crossing_layers(self) -> int:
        """Layers that attend to an encoder's hidden states."""
        return 0 if self.decoder_only else self.decoder_layers

    def read_to(self, layer: int | None) -> "Shape":
        """Return the shape of what reads up to a layer; of all layers when None."""
        count = layer or self.reading_layers
        return (
            replace(self, decoder_layers=count) if self.decoder_only else replace(self, encoder_layers=count)
        )

    def tokens_beside(self, prompt: int, output: int) -> int:
        """Count the positions that a prompt and its answer take: the longer one's, or both in one."""
        return prompt + output if self.decoder_only else max(prompt, output)

    @property
    def encoder_parameters(self) -> int:
        """Of what reads a prompt: embeddings, and the encoder or all layers of a decoder-only model."""
        return self.vocabulary * self.d_model + self._stack(self.reading_layers, self._layer(1))

    @property
    def decoder_parameters(self) -> int:
        """Of what writes an answer, the output matrix and embeddings of its own included."""
        own = int(not self.tied_head) + int(not self.kind.shared)
        attentions = 1 if self.decoder_only else 2
        return own * self.vocabulary * self.d_model + self._stack(
            self.decoder_layers, self._layer(attentions)
        )

    @property
    def counted_parameters(self) -> int:
        """Of the whole model, as its sizes say."""
        if self.decoder_only:
            return self.vocabulary * self.d_model + self.decoder_parameters
        return self.encoder_parameters + self.decoder_parameters

    def _layer(self, attentions: int) -> int:
        """Parameters of a layer: attentions, feed-forward, and the norms of each."""
        kind, width, inner, grouped = (
            self.kind,
            self.d_model,
            self.heads * self.d_kv,
            self.grouped_heads * self.d_kv,
        )
        gates = 2 if self.feed_forward.startswith("gated") else 1
        attention, feed_forward = 2 * width * (inner + grouped), (gates + 1) * width * self.d_ff
        if kind.biases:
            attention += inner + 2 * grouped
        if kind.biases == "all":
            attention, feed_forward = attention + width, feed_forward + gates * self.d_ff + width
        if kind.head_norms:
            attention += 2 * self.d_kv
        norms = (attentions + 1) * kind.norms * kind.vectors * width
        return attentions * attention + feed_forward + norms

    def _stack(self, layers: int, layer: int) -> int:
        """Parameters of all layers and of what stands before and after them."""
        kind = self.kind
        count = layers * layer + kind.final_norm * kind.vectors * self.d_model
        if kind.positions == "relative":
            return count + BUCKETS * self.heads
        if kind.positions == "table":
            return count + ((self.positions or 0) + kind.spare) * self.d_model
        return count


@cache
def published_shapes() -> Mapping[str, Shape]:
    """Return the shapes of shapes.csv, by name."""
    text = (files("hybrid.models") / "shapes.csv").read_text("utf-8")
    heading, *rows = ([cell.strip() for cell in row] for row in csv.reader(text.splitlines()))
    shapes = [_from_cells(dict(zip(heading, row, strict=True))) for row in rows]
    return {shape.name: shape for shape in shapes}


def own_names() -> tuple[str, ...]:
    """Name the shapes of the pairs here: BUNDLED of the first one, PAIR/llm and PAIR/slm of others."""
    try:
        first, pairs = find_pair(None)[0].name, available_pairs()
    except PairError:  # which find_shape tells of BUNDLED
        return tuple(BUNDLED)
    return *BUNDLED, *(f"{pair}/{role}" for pair in pairs if pair != first for role in ROLES)


def all_shapes() -> dict[str, Shape]:
    """Return the published shapes and those of the pairs that are here, by name, if of known kinds."""
    shapes = dict(published_shapes()) | {name: find_shape(name) for name in BUNDLED}
    for name in own_names()[len(BUNDLED) :]:
        with suppress(PairError):
            shapes[name] = find_shape(name)
    return shapes


def find_shape(name: str) -> Shape:
    """Return the shape of this name: published, of a pair that is here, or a path that ends in config.json.

    Raises PairError: unknown, with the nearest names, or not readable.
    """
    if name in BUNDLED:
        return _of_pair(None, BUNDLED[name], name)
    if name in published_shapes():
        return published_shapes()[name]
    if name.endswith(CONFIG):
        return _of_file(Path(name))
    known = [*published_shapes(), *own_names()]
    if name in known:
        pair, _, role = name.rpartition("/")
        return _of_pair(pair, role, name)
    near = get_close_matches(name.lower().rpartition("/")[2], known, n=3)
    meant = f" Did you mean {' or '.join(near)}?" if near else ""
    raise PairError(
        f"There is no shape {name!r}.{meant} `hybrid latency --shapes` lists them all; "
        "a path to a config.json works, too."
    )


def shape_of_config(name: str, config: Mapping[str, Any], source: str) -> Shape:
    """Return the shape that the config.json of a model of a known family describes.

    Raises ValueError, KeyError or TypeError for another one.
    """
    family = str(config["model_type"])
    if family not in KINDS:
        raise ValueError(f"model_type is {family!r}, not one of {', '.join(KINDS)}")
    sizes = architecture_of(config).sizes(config)
    if sizes.reader is not None:
        raise ValueError("encoder and decoder differ in more than their layers, and only layers may")
    shape = Shape(
        name=name,
        family=family,
        d_model=sizes.d_model,
        d_ff=sizes.d_ff,
        heads=sizes.heads,
        d_kv=sizes.head_width,
        encoder_layers=sizes.encoder_layers,
        decoder_layers=sizes.decoder_layers,
        vocabulary=sizes.vocabulary,
        feed_forward=feed_forward_of(sizes),
        tied_head=sizes.tied_head,
        positions=sizes.max_positions,
        parameters=0,
        source=source,
        key_value_heads=None if sizes.key_value_heads == sizes.heads else sizes.key_value_heads,
    )
    return replace(shape, parameters=shape.counted_parameters)


def _from_cells(cells: Mapping[str, str]) -> Shape:
    """One row of shapes.csv."""
    numbers = [field.name for field in fields(Shape) if field.type is int]
    values: dict[str, Any] = dict(cells) | {name: int(cells[name]) for name in numbers}
    values["tied_head"] = {"yes": True, "no": False}[cells["tied_head"]]
    for name in ("positions", "key_value_heads"):
        values[name] = int(cells[name]) if cells[name] else None
    return Shape(**values)


def _of_pair(pair: str | None, role: str, name: str) -> Shape:
    folder, manifest = find_pair(pair)
    path = checked(folder, f"{role}/{CONFIG}", manifest)
    return _read(path, name, f"{folder.name}/{role}")


def _of_file(path: Path) -> Shape:
    """Return the shape in a config.json, called by its folder and its sizes: many folders bear one name."""
    parent = path.absolute().parent
    folder = parent.name
    if _CHECKPOINT.fullmatch(folder):  # one of many of the same name: the model's is one level up
        folder = f"{parent.parent.name}-{folder}"
    name = re.sub(r"[^0-9A-Za-z_.-]+", "-", folder).strip("-") or "model"
    shape = _read(path, name, f"{name}/{CONFIG}")  # no path: where it lay is nobody's business
    return replace(shape, name=f"{name}-{shape.fingerprint}")


def _read(path: Path, name: str, source: str) -> Shape:
    try:
        config = json.loads(path.read_text("utf-8-sig"))
        return shape_of_config(name, config, source)
    except OSError as error:
        raise PairError(f"{path} cannot be read: {error.strerror}.") from error
    except KeyError as error:
        reason = f"{error.args[0]} is missing"
    except (ValueError, TypeError, ArithmeticError, AttributeError, RecursionError) as error:
        reason = str(error)
    raise PairError(f"{path} does not describe a model that can be built: {reason}.")
