"""Early fusion: add, replace, and zeros at padding."""

import pytest
import torch

from hybrid.models.fusion import FUSIONS, fuse

EMBEDDINGS = torch.arange(12.0).view(2, 3, 2)
LATENT = torch.full((2, 3, 2), 10.0)
WHOLE = torch.ones(2, 3, dtype=torch.long)


def test_add_is_the_sum_and_replace_the_latent():
    assert torch.equal(fuse(EMBEDDINGS, LATENT, WHOLE, "add"), EMBEDDINGS + LATENT)
    assert torch.equal(fuse(EMBEDDINGS, LATENT, WHOLE, "replace"), LATENT)


@pytest.mark.parametrize("how", FUSIONS)
def test_padding_is_zero_whatever_it_held(how):
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    fused = fuse(EMBEDDINGS + 5, LATENT, mask, how)
    assert fused[mask == 0].abs().sum() == 0
    assert fused[mask == 1].abs().min() > 0


@pytest.mark.parametrize("how", FUSIONS)
def test_type_is_kept(how):
    assert fuse(EMBEDDINGS.bfloat16(), LATENT.bfloat16(), WHOLE, how).dtype == torch.bfloat16


def test_unequal_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(2, 3, 2\) with latent \(2, 3, 4\)"):
        fuse(EMBEDDINGS, torch.zeros(2, 3, 4), WHOLE, "add")
