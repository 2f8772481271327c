"""Int8 storage of weights: one float32 scale per row of every matrix.

Storage only: weights are turned back into floats on loading. A row's scale is
its largest magnitude over 127 (symmetric, round to nearest), so the error of
a weight is at most half a scale.
"""

import torch

SCALE_SUFFIX = ".int8_scale"


def quantize(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Matrices as int8 rows and their scales; vectors as float32."""
    packed: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        if tensor.ndim != 2:
            packed[name] = tensor.float().contiguous()
            continue
        scale = tensor.float().abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / 127  # (rows, 1)
        packed[name] = (tensor.float() / scale).round().clamp(-127, 127).to(torch.int8)
        packed[name + SCALE_SUFFIX] = scale.squeeze(1)
    return packed


def dequantize(packed: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the float32 weights of a quantized state; floats pass through."""
    state: dict[str, torch.Tensor] = {}
    for name, tensor in packed.items():
        if name.endswith(SCALE_SUFFIX):
            continue
        scale = packed.get(name + SCALE_SUFFIX)
        state[name] = tensor.float() if scale is None else tensor.float() * scale[:, None]
    return state
