"""Sizes of one model, and what follows from them for a pair of two. Nothing here imports torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from hashlib import sha256
from typing import Any

from hybrid.format import layers_of
from hybrid.models.architectures import architecture_of
from hybrid.models.architectures.records import Sizes
from hybrid.models.shape_families import KINDS, Kind, feed_forward_of, layer_parameters, stack_parameters

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
    read_layers: those whose outputs a hybrid reads, side by side, counted from 1; none for what leaves
    the last one.
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
    read_layers: tuple[int, ...] = field(default=(), repr=False)

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
        layers, count = self.read_layers, self.reading_layers
        if list(layers) != sorted(set(layers).intersection(range(1, count + 1))):
            raise ValueError(f"layer is {[*layers]}; give blocks from 1 to {count} in rising order")

    @property
    def fingerprint(self) -> str:
        """Give 6 hexadecimal digits of its sizes, whatever it is called and wherever it is from."""
        grouped, read = self.key_value_heads or "", self.read_layers or ""
        # Of an encoder nothing counts but its widths.
        own = (
            self.encoder
            and replace(self.encoder, encoder_layers=1, decoder_layers=1, parameters=0).fingerprint
        )
        return sha256(
            f"{replace(self, name='', source='')!r}{grouped}{own or ''}{read}".encode()
        ).hexdigest()[:6]

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

    @property
    def read_part(self) -> "Shape":
        """What of it a hybrid runs: its layers up to the last that is read."""
        if not self.read_layers:
            return self
        last = self.read_layers[-1]
        if self.decoder_only:
            return replace(self, decoder_layers=last)
        return replace(self, encoder_layers=last)

    @property
    def states_width(self) -> int:
        """k x d_llm: width of the hidden states that a hybrid's projector takes."""
        return max(1, len(self.read_layers)) * self.reader.d_model

    @property
    def reading(self) -> str:
        """Say what a hybrid reads: `layer 20 of 30`, `layers 10 and 20 of 30`; empty where it is all."""
        return layers_of(self.read_layers, self.reading_layers) if self.read_layers else ""

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
    def read_parameters(self) -> int:
        """Of what a hybrid holds: a norm stands behind all layers, and behind no other."""
        norm = self.kind.final_norm * self.kind.vectors * self.reader.d_model if self.read_layers else 0
        return self.read_part.encoder_parameters - norm

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
