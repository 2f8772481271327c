"""Rows and padded places of the same tokens: there and back, and what the mask hides."""

import pytest
import torch

from hybrid.engines.torch.encoder import Layout
from hybrid.engines.torch.operations import Target

CPU = Target(torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("lengths", [(3,), (2, 4, 1), (4, 4), (1, 1, 1, 7)])
def test_padding_and_unpadding_give_the_rows_back(lengths):
    layout = Layout(lengths, CPU)
    rows = torch.arange(1.0, 2 * sum(lengths) + 1).view(-1, 2)
    padded = layout.pad(rows)
    assert padded.shape == (len(lengths), max(lengths), 2)
    assert torch.equal(torch.cat([block[:n] for block, n in zip(padded, lengths, strict=True)]), rows)
    assert torch.equal(layout.unpad(padded), rows)


def test_padding_is_finite_and_hidden():
    layout = Layout((2, 3), CPU)
    assert layout.pad(torch.ones(5, 2)).isfinite().all()
    hidden = layout.mask(torch.full((1, 4, 3, 3), 0.5))  # (1, H, queries, S)
    assert hidden.shape == (2, 4, 3, 3)
    assert (hidden[0, :, :, 2] == -torch.inf).all()
    hidden[0, :, :, 2] = 0.5
    assert (hidden == 0.5).all()


def test_one_prompt_is_not_copied():
    layout, rows = Layout((5,), CPU), torch.rand(5, 2)
    assert layout.pad(rows).data_ptr() == layout.unpad(layout.pad(rows)).data_ptr() == rows.data_ptr()
    assert layout.mask(rows) is rows
