"""Matrices in 8 bits: near what they were, the same when stored again, and vectors exact."""

import torch

from hybrid.models.pair_files import SCALE_SUFFIX, dequantize, quantize


def state() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(64, 96, generator=generator) * torch.logspace(-4, 4, 64)[:, None]
    return {"matrix": rows, "gain": torch.randn(96, generator=generator)}


def test_the_error_of_a_weight_is_at_most_half_its_rows_scale():
    exact = state()
    packed = quantize(exact)
    scale = packed["matrix" + SCALE_SUFFIX]
    error = (dequantize(packed)["matrix"] - exact["matrix"]).abs()
    assert packed["matrix"].dtype == torch.int8
    assert torch.equal(scale, exact["matrix"].abs().amax(1) / 127)
    assert (error <= scale[:, None] * 0.5001).all()  # the rounding of floats beside half a scale
    assert error.max() > 0


def test_vectors_pass_through_exactly():
    exact = state()
    back = dequantize(quantize(exact))
    assert back.keys() == exact.keys()
    assert torch.equal(back["gain"], exact["gain"])


def test_a_row_of_zeros_stays_zero():
    assert dequantize(quantize({"matrix": torch.zeros(2, 3)}))["matrix"].abs().max() == 0


def test_storing_what_was_read_changes_nothing():
    packed = quantize(state())
    again = quantize(dequantize(packed))
    assert torch.equal(again["matrix"], packed["matrix"])


def test_half_precision_weights_become_floats():
    back = dequantize(quantize({"matrix": torch.ones(2, 2).bfloat16(), "gain": torch.ones(2).half()}))
    assert {tensor.dtype for tensor in back.values()} == {torch.float32}
