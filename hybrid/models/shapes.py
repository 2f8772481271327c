"""Sizes of encoder-decoder models that people know, as data: speed follows from them alone, not from weights.

shapes.csv holds what the published config.json of each model says: T5 (Raffel et
al. 2020), T5 v1.1 (Shazeer 2020), Flan-T5 (Chung et al. 2022), mT5 (Xue et al.
2021), BART (Lewis et al. 2020), OPUS-MT (Tiedemann and Thottingal 2020). Beside
them stand the bundled pair's two models, and any config.json that is named by its path.
Nothing here imports torch.
"""

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

from hybrid.errors import PairError
from hybrid.models.architectures import architecture_of
from hybrid.models.manifest import checked, find_pair
from hybrid.schema import MODELS

FAMILIES = ("t5", "mt5", "bart", "marian")
FEED_FORWARDS: Mapping[str, tuple[str, ...]] = {
    "t5": ("relu", "gated-gelu"),
    "mt5": ("relu", "gated-gelu"),
    "bart": ("gelu", "relu", "swish"),
    "marian": ("gelu", "relu", "swish"),
}
BUCKETS = 32  # of distances, for the relative position bias of every published T5
BUNDLED: Mapping[str, str] = {"bundled-llm": "llm", "bundled-slm": "slm"}  # of the first pair that is here
CONFIG = "config.json"
_LARGEST_SIZE = 10_000_000  # of any number in a config.json: what lies above it is a slip


@dataclass(frozen=True)
class Shape:
    """Sizes of one encoder-decoder model.

    family: transformers' model_type. d_kv: width of one head. feed_forward: its
    activation, gated or not. tied_head: the output matrix is that of the
    embeddings. positions: the most tokens of a prompt, or of an answer; None
    where positions are relative. parameters: of the whole model. source: its
    page on the Hugging Face Hub, or where its config.json is from.
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

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(f"family is {self.family!r}, not one of {', '.join(FAMILIES)}")
        known = FEED_FORWARDS[self.family]
        if self.feed_forward not in known:
            raise ValueError(f"feed_forward is {self.feed_forward!r}, not one of {', '.join(known)}")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is int and field.name != "parameters" and not 0 < value <= _LARGEST_SIZE:
                raise ValueError(f"{field.name} is {value}; it must be 1 to {_LARGEST_SIZE:,}")

    @property
    def fingerprint(self) -> str:
        """Give 6 hexadecimal digits of its sizes, whatever it is called and wherever it is from."""
        return sha256(repr(replace(self, name="", source="")).encode()).hexdigest()[:6]

    @property
    def relative_positions(self) -> bool:
        """Whether it is a T5: RMS norms, no biases, relative positions."""
        return self.family in ("t5", "mt5")

    @property
    def encoder_parameters(self) -> int:
        """Of what reads a prompt: embeddings and encoder."""
        return self.vocabulary * self.d_model + self._stack(self.encoder_layers, self._layer(1))

    @property
    def decoder_parameters(self) -> int:
        """Of what writes an answer, the output matrix and embeddings of its own included."""
        own = 0 if self.tied_head else self.vocabulary * self.d_model
        return own + self._stack(self.decoder_layers, self._layer(2))

    def _layer(self, attentions: int) -> int:
        """Parameters of a layer: attentions, feed-forward, and a norm before or after each."""
        width, inner = self.d_model, self.heads * self.d_kv
        attention, matrices = 4 * width * inner, 3 if self.feed_forward.startswith("gated") else 2
        count = attentions * attention + matrices * width * self.d_ff + (attentions + 1) * width
        if not self.relative_positions:  # nn.Linear and nn.LayerNorm with biases
            count += attentions * (3 * inner + width) + self.d_ff + width + (attentions + 1) * width
        return count

    def _stack(self, layers: int, layer: int) -> int:
        """Parameters of all layers and of what stands before and after them."""
        if self.relative_positions:
            return layers * layer + BUCKETS * self.heads + self.d_model  # position bias, final norm
        # BART's table of positions has two rows more, and a norm behind it; Marian's is of sines.
        extra = 2 + 2 if self.family == "bart" else 0
        return layers * layer + ((self.positions or 0) + extra) * self.d_model


@cache
def published_shapes() -> Mapping[str, Shape]:
    """Return the shapes of shapes.csv, by name."""
    text = (files("hybrid.models") / "shapes.csv").read_text("utf-8")
    heading, *rows = ([cell.strip() for cell in row] for row in csv.reader(text.splitlines()))
    shapes = [_from_cells(dict(zip(heading, row, strict=True))) for row in rows]
    return {shape.name: shape for shape in shapes}


def all_shapes() -> dict[str, Shape]:
    """Return the published shapes and those of the first pair that is here, by name."""
    return dict(published_shapes()) | {name: find_shape(name) for name in BUNDLED}


def find_shape(name: str) -> Shape:
    """Return the shape of this name: published, of the bundled pair, or a path that ends in config.json.

    Raises PairError: unknown, with the nearest names, or not readable.
    """
    if name in BUNDLED:
        return _bundled(name)
    if name in published_shapes():
        return published_shapes()[name]
    if name.endswith(CONFIG):
        return _of_file(Path(name))
    known = [*published_shapes(), *BUNDLED]
    near = get_close_matches(name.lower().rpartition("/")[2], known, n=3)
    meant = f" Did you mean {' or '.join(near)}?" if near else ""
    raise PairError(
        f"There is no shape {name!r}.{meant} `hybrid latency --shapes` lists them all; "
        "a path to a config.json works, too."
    )


def pair_shapes(folder: Path, manifest: dict[str, Any]) -> tuple[Shape, Shape] | None:
    """Return the shapes of the LLM and SLM of a pair on disk; None when their kind has no known shape."""
    try:
        configs = [json.loads(checked(folder, f"{m}/config.json", manifest).read_bytes()) for m in MODELS[:2]]
        llm, slm = (shape_of_config(folder.name, config, folder.name) for config in configs)
    except (KeyError, TypeError, ValueError):
        return None
    return llm, slm


def shape_of_config(name: str, config: Mapping[str, Any], source: str) -> Shape:
    """Return the shape that the config.json of a T5, mT5, BART or Marian model describes.

    Raises ValueError, KeyError or TypeError for another one.
    """
    family = str(config["model_type"])
    if family not in FAMILIES:
        raise ValueError(f"model_type is {family!r}, not one of {', '.join(FAMILIES)}")
    sizes = _t5_sizes(config) if family in ("t5", "mt5") else _bart_sizes(config)
    shape = Shape(name=name, family=family, source=source, parameters=0, **sizes)
    return replace(shape, parameters=shape.encoder_parameters + shape.decoder_parameters)


def _t5_sizes(config: Mapping[str, Any]) -> dict[str, Any]:
    sizes = architecture_of(config).sizes(config)
    return {
        "d_model": sizes.d_model,
        "d_ff": sizes.d_ff,
        "heads": sizes.heads,
        "d_kv": sizes.head_width,
        "encoder_layers": sizes.encoder_layers,
        "decoder_layers": sizes.decoder_layers,
        "vocabulary": sizes.vocabulary,
        "feed_forward": str(config.get("feed_forward_proj", "relu")),
        "tied_head": sizes.tied_head,
        "positions": None,
    }


def _bart_sizes(config: Mapping[str, Any]) -> dict[str, Any]:
    for size in ("attention_heads", "ffn_dim"):
        if config[f"encoder_{size}"] != config[f"decoder_{size}"]:
            raise ValueError(f"encoder_{size} and decoder_{size} differ, and only layers may")
    heads, width = int(config["encoder_attention_heads"]), int(config["d_model"])
    layers = int(config["encoder_layers"])
    return {
        "d_model": width,
        "d_ff": int(config["encoder_ffn_dim"]),
        "heads": heads,
        "d_kv": width // heads,
        "encoder_layers": layers,
        "decoder_layers": int(config.get("decoder_layers") or layers),
        "vocabulary": int(config["vocab_size"]),
        "feed_forward": str(config.get("activation_function", "gelu")),
        "tied_head": True,
        "positions": int(config["max_position_embeddings"]),
    }


def _from_cells(cells: Mapping[str, str]) -> Shape:
    """One row of shapes.csv."""
    numbers = [field.name for field in fields(Shape) if field.type is int]
    values: dict[str, Any] = dict(cells) | {name: int(cells[name]) for name in numbers}
    values["tied_head"] = {"yes": True, "no": False}[cells["tied_head"]]
    values["positions"] = int(cells["positions"]) if cells["positions"] else None
    return Shape(**values)


def _bundled(name: str) -> Shape:
    folder, manifest = find_pair(None)
    role = BUNDLED[name]
    path = checked(folder, f"{role}/{CONFIG}", manifest)
    return _read(path, name, f"{folder.name}/{role}")


def _of_file(path: Path) -> Shape:
    """Return the shape in a config.json, called by its folder and its sizes: many folders bear one name."""
    folder = path.absolute().parent.name
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
