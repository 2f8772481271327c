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
from collections.abc import Mapping, Sequence
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
from hybrid.models.architectures.records import Sizes
from hybrid.models.manifest import available_pairs, checked, find_pair
from hybrid.models.pair_format import ROLES
from hybrid.models.shape_families import KINDS, Kind, feed_forward_of, layer_parameters, stack_parameters

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
    key_value_heads: None where they are as many as heads. encoder: what has the encoder's
    sizes but its layers, where they are others than the decoder's, as in T5Gemma 9B-2B.
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
    encoder: "Shape | None" = field(default=None, repr=False)

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
        if self.encoder and (self.encoder.family != self.family or self.kind.shared or self.encoder.encoder):
            raise ValueError(f"encoder is a {self.encoder.family}, and a {self.family} has none of its own")

    @property
    def fingerprint(self) -> str:
        """Give 6 hexadecimal digits of its sizes, whatever it is called and wherever it is from."""
        grouped = self.key_value_heads or ""
        # Of an encoder nothing counts but its widths.
        own = (
            self.encoder
            and replace(self.encoder, encoder_layers=1, decoder_layers=1, parameters=0).fingerprint
        )
        return sha256(f"{replace(self, name='', source='')!r}{grouped}{own or ''}".encode()).hexdigest()[:6]

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
    def reader(self) -> "Shape":
        """What has the sizes of that which reads a prompt: the encoder, or all of a decoder-only model."""
        return replace(self.encoder, encoder_layers=self.encoder_layers) if self.encoder else self

    @property
    def reading_layers(self) -> int:
        """Layers that a prompt goes through: the encoder's, or all of a decoder-only model."""
        return self.decoder_layers if self.decoder_only else self.encoder_layers

    @property
    def crossing_layers(self) -> int:
        """Layers that attend to an encoder's hidden states."""
        return 0 if self.decoder_only else self.decoder_layers

    def read_to(self, layer: int | Sequence[int] | None) -> "Shape":
        """Return the shape of what reads up to a layer, or the last of several; of all layers when None."""
        count = layer if isinstance(layer, int) else max(layer or [self.reading_layers])
        if self.decoder_only:
            return replace(self, decoder_layers=count)
        return replace(self, encoder_layers=count)

    def tokens_beside(self, prompt: int, output: int) -> int:
        """Count the positions that a prompt and its answer take: the longer one's, or both in one."""
        return prompt + output if self.decoder_only else max(prompt, output)

    @property
    def encoder_parameters(self) -> int:
        """Of what reads a prompt: embeddings, and the encoder or all layers of a decoder-only model."""
        reader = self.reader
        return reader.vocabulary * reader.d_model + stack_parameters(
            reader, self.reading_layers, layer_parameters(reader, 1)
        )

    @property
    def decoder_parameters(self) -> int:
        """Of what writes an answer, the output matrix and embeddings of its own included."""
        own = int(not self.tied_head) + int(not self.kind.shared)
        attentions = 1 if self.decoder_only else 2
        layers = stack_parameters(self, self.decoder_layers, layer_parameters(self, attentions))
        return own * self.vocabulary * self.d_model + layers

    @property
    def counted_parameters(self) -> int:
        """Of the whole model, as its sizes say."""
        if self.decoder_only:
            return self.vocabulary * self.d_model + self.decoder_parameters
        return self.encoder_parameters + self.decoder_parameters


@cache
def published_shapes() -> Mapping[str, Shape]:
    """Return the shapes of shapes.csv, by name."""
    text = (files("hybrid.models") / "shapes.csv").read_text("utf-8")
    heading, *rows = ([cell.strip() for cell in row] for row in csv.reader(text.splitlines()))
    shapes: dict[str, Shape] = {}
    for row in rows:  # an encoder of its own is that of a row above
        shape = _from_cells(dict(zip(heading, row, strict=True)), shapes)
        shapes[shape.name] = shape
    return shapes


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
    if sizes.reader is not None and KINDS[family].shared:
        raise ValueError("encoder and decoder differ in more than their layers, and only layers may")
    shape = _of_sizes(name, family, sizes, source)
    return replace(shape, parameters=shape.counted_parameters)


def _of_sizes(name: str, family: str, sizes: Sizes, source: str) -> Shape:
    """Return the shape of these sizes, its parameters not counted."""
    return Shape(
        name=name, family=family, d_model=sizes.d_model, d_ff=sizes.d_ff, heads=sizes.heads,
        d_kv=sizes.head_width, encoder_layers=sizes.encoder_layers, decoder_layers=sizes.decoder_layers,
        vocabulary=sizes.vocabulary, feed_forward=feed_forward_of(sizes), tied_head=sizes.tied_head,
        positions=sizes.max_positions, parameters=0, source=source,
        key_value_heads=None if sizes.key_value_heads == sizes.heads else sizes.key_value_heads,
        encoder=_of_sizes(name, family, sizes.reader, source) if sizes.reader else None,
    )  # fmt: skip


def _from_cells(cells: Mapping[str, str], above: Mapping[str, Shape]) -> Shape:
    """One row of shapes.csv. above: the rows before it."""
    numbers = [field.name for field in fields(Shape) if field.type is int]
    values: dict[str, Any] = dict(cells) | {name: int(cells[name]) for name in numbers}
    values["tied_head"] = {"yes": True, "no": False}[cells["tied_head"]]
    for name in ("positions", "key_value_heads"):
        values[name] = int(cells[name]) if cells[name] else None
    values["encoder"] = above[cells["encoder"]] if cells["encoder"] else None
    return Shape(**values)


def _of_pair(pair: str | None, role: str, name: str) -> Shape:
    folder, manifest = find_pair(pair)
    path = checked(folder, f"{role}/{CONFIG}", manifest)
    return _read(path, name, f"{folder.name}/{role}")


def _of_file(path: Path) -> Shape:
    """Return the shape in a config.json, called by its folder and its sizes: many folders bear one name."""
    parent, folder = path.absolute().parent, path.absolute().parent.name
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
