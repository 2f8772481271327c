"""The shapes and sizes that `hybrid device` measures: none is published, all together span those that are.

Layers are few, since more of them cost the same each, and widths are many,
since that is what costs change with. On a CPU small ones stand closer: there it
matters how much of a model fits the caches.
"""

from dataclasses import dataclass

from hybrid.models.shapes import Shape, shape_of_config
from hybrid.schema import Device

HEAD_WIDTH = 64


@dataclass(frozen=True)
class CalibrationSize:
    """One size at which a shape is measured. steps: tokens decoded after the first, 0 to read only."""

    batch: int
    prompt: int
    steps: int


@dataclass(frozen=True)
class CalibrationShape:
    """One shape and where it is measured."""

    shape: Shape
    visits: tuple[CalibrationSize, ...]


def calibration_grid(device: Device) -> tuple[CalibrationShape, ...]:
    """Return what is measured on a device, in this order: when time is short, the last ones are left out."""
    return _CPU if device.kind == "cpu" else _GPU


def _shape(width: int, inner: int, heads: int, layers: int, vocabulary: int) -> Shape:
    config = {
        "model_type": "t5", "d_model": width, "d_ff": inner, "num_heads": heads, "d_kv": HEAD_WIDTH,
        "num_layers": layers, "vocab_size": vocabulary, "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
    }  # fmt: skip
    return shape_of_config(f"rung-{width}x{layers}", config, "hybrid device")


def _visits(*sizes: tuple[int, int, int]) -> tuple[CalibrationSize, ...]:
    return tuple(CalibrationSize(*size) for size in sizes)


_T = 12  # tokens decoded on a CPU
_BRIEF = _visits((1, 32, _T), (8, 32, _T))
_MORE = _visits((1, 128, _T), (1, 512, _T), (8, 128, _T))
_LARGE = _visits((8, 512, 0), (32, 32, _T))
_LARGEST = _visits((32, 128, 0))
_CPU = (
    CalibrationShape(_shape(64, 128, 1, 2, 1024), _BRIEF + _MORE + _LARGE + _LARGEST),
    CalibrationShape(_shape(64, 128, 1, 8, 1024), _BRIEF + _MORE),
    CalibrationShape(
        _shape(640, 1600, 10, 2, 16384),
        _BRIEF + _visits((1, 128, 0), (1, 512, _T), (8, 128, 0), (32, 32, _T)),
    ),
    CalibrationShape(_shape(192, 512, 3, 4, 8192), _BRIEF + _MORE + _visits((8, 512, 0))),
    CalibrationShape(_shape(960, 2560, 16, 2, 8192), _BRIEF + _visits((1, 128, 0), (1, 512, 0))),
    CalibrationShape(_shape(320, 768, 4, 1, 4096), _BRIEF),
    CalibrationShape(_shape(448, 1024, 7, 4, 32128), _BRIEF + _visits((1, 128, 0), (1, 512, _T))),
    CalibrationShape(_shape(320, 768, 4, 3, 4096), _BRIEF + _visits((8, 128, 0)) + _LARGE + _LARGEST),
    CalibrationShape(_shape(256, 768, 4, 2, 6144), _BRIEF),
    CalibrationShape(_shape(320, 768, 4, 6, 4096), _BRIEF),
)

_GPU_VISITS = _visits(*((batch, prompt, 32) for batch in (1, 8, 32) for prompt in (32, 128, 512)))
_GPU = (
    CalibrationShape(_shape(320, 896, 5, 2, 32128), _GPU_VISITS),
    CalibrationShape(_shape(320, 896, 5, 8, 8192), _GPU_VISITS),
    CalibrationShape(_shape(2560, 6656, 40, 2, 32128), _GPU_VISITS),
    CalibrationShape(_shape(896, 2304, 14, 3, 8192), _GPU_VISITS),
    CalibrationShape(_shape(1536, 4096, 24, 2, 32128), _GPU_VISITS),
    CalibrationShape(_shape(448, 1280, 7, 4, 16384), _GPU_VISITS),
)
