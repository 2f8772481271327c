"""Triton kernels of decode steps and passes, the matrix products: few launches, each reads its weights once.

A norm is one factor per row, the rest is in the matrix behind it (weights.py), so a
product reads the rows as they are and is scaled afterwards: no launch for the norm.
All sums are float32.

Every kernel may be launched before the one ahead of it has ended (PDL,
programmatic dependent launch, compute capability 9.0): it asks for its weights,
which nobody writes, and then waits for that one. Nothing else may stand before
`wait`: what it reads or overwrites may still be in use.

Letters: B rows, N outputs, D or P inputs.
"""

# Triton carries no types, and reads annotations as its own.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, misc"
import triton  # type: ignore[import-not-found,import-untyped,unused-ignore]
import triton.language as tl  # type: ignore[import-not-found,import-untyped,unused-ignore]

LINEAR: "tl.constexpr" = tl.constexpr(0)
RELU: "tl.constexpr" = tl.constexpr(1)
GELU: "tl.constexpr" = tl.constexpr(2)
GELU_TANH: "tl.constexpr" = tl.constexpr(3)
SILU: "tl.constexpr" = tl.constexpr(4)
NO_NORM: "tl.constexpr" = tl.constexpr(0)
RMS: "tl.constexpr" = tl.constexpr(1)
LAYER: "tl.constexpr" = tl.constexpr(2)
LARGEST_HALF: "tl.constexpr" = tl.constexpr(65504.0)


@triton.jit
def begin(PDL: tl.constexpr):
    """Let the next kernel be launched as soon as this one runs everywhere."""
    if PDL:
        tl.extra.cuda.gdc_launch_dependents()


@triton.jit
def wait(PDL: tl.constexpr):
    """Wait until all that was launched before has ended and its memory can be read."""
    if PDL:
        tl.extra.cuda.gdc_wait()


@triton.jit
def narrowed(values, like: tl.constexpr):
    """Cast float32 values to the type `like`; float16 is cut to what it holds."""
    if like == tl.float16:
        values = tl.minimum(tl.maximum(values, -LARGEST_HALF), LARGEST_HALF)
    return values.to(like)


@triton.jit
def factor(x, eps, INPUTS: tl.constexpr, BLOCK_D: tl.constexpr):
    """Give the factor that norms the row at `x` by its root mean square."""
    d = tl.arange(0, BLOCK_D)
    row = tl.load(x + d, mask=d < INPUTS, other=0.0)
    return _factor(tl.sum(row * row, axis=0), 0.0, eps, INPUTS, RMS)


@triton.jit
def _factor(squares, sums, eps, INPUTS: tl.constexpr, NORM: tl.constexpr):
    """Give the factor that norms rows by the sums of their values and of those squared."""
    mean = 0.0
    if NORM == LAYER:
        mean = sums / INPUTS
    return tl.rsqrt(tl.maximum(squares / INPUTS - mean * mean, 0.0) + eps)


@triton.jit
def _activated(product, other, KIND: tl.constexpr, GATED: tl.constexpr):
    """Apply a feed-forward's activation to its first product; `other` is the gated part."""
    if KIND == RELU:
        product = tl.maximum(product, 0.0)
    if KIND == GELU:
        product = 0.5 * product * (1.0 + tl.erf(product * 0.7071067811865476))
    if KIND == GELU_TANH:  # x (1 + tanh(y)) / 2 with y = sqrt(2 / pi) (x + 0.044715 x^3) is x sigmoid(2y)
        product *= tl.sigmoid(1.5957691216057308 * (product + 0.044715 * product * product * product))
    if KIND == SILU:
        product *= tl.sigmoid(product)
    if GATED:
        product *= other
    return product


@triton.jit
def linear_row(
    x, weight, bias, residual, out, eps, outputs,
    INPUTS: tl.constexpr, NORM: tl.constexpr, BIAS: tl.constexpr, ADD: tl.constexpr, KIND: tl.constexpr,
    GATED: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    """Compute out = act(x W' + b) or residual + x W' + b for one row; all inputs of BLOCK_N outputs at once.

    NORM: how x is normed. KIND: the activation; GATED: W has N rows of gates and N more.
    """
    begin(PDL)
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    d = tl.arange(0, BLOCK_D)
    inside = (n < outputs)[:, None] & (d < INPUTS)[None, :]
    addresses = weight + n[:, None].to(tl.int64) * INPUTS + d[None, :]
    matrix = tl.load(addresses, mask=inside, other=0.0)
    second = matrix
    if GATED:
        second = tl.load(addresses + outputs.to(tl.int64) * INPUTS, mask=inside, other=0.0)
    wait(PDL)
    row = tl.load(x + d, mask=d < INPUTS, other=0.0).to(tl.float32)
    scale = 1.0
    if NORM != NO_NORM:
        scale = _factor(tl.sum(row * row, axis=0), tl.sum(row, axis=0), eps, INPUTS, NORM)
    product = tl.sum(matrix.to(tl.float32) * row[None, :], axis=1) * scale
    other = product
    if GATED:
        other = tl.sum(second.to(tl.float32) * row[None, :], axis=1) * scale
    if BIAS:
        product += tl.load(bias + n, mask=n < outputs, other=0.0).to(tl.float32)
        if GATED:
            other += tl.load(bias + outputs + n, mask=n < outputs, other=0.0).to(tl.float32)
    product = _activated(product, other, KIND, GATED)
    if ADD:
        product += tl.load(residual + n, mask=n < outputs, other=0.0)
    tl.store(out + n, narrowed(product, out.dtype.element_ty), mask=n < outputs)


@triton.jit
def linear_rows(
    x, weight, bias, residual, out, eps, unit, rows, outputs,
    INPUTS: tl.constexpr, NORM: tl.constexpr, BIAS: tl.constexpr, ADD: tl.constexpr, KIND: tl.constexpr,
    GATED: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr,
    PDL: tl.constexpr,
):  # fmt: skip
    """Compute the same for B rows, on tensor cores, which take x / unit in the type of the weights."""
    begin(PDL)
    wait(PDL)
    b = tl.program_id(1) * BLOCK_B + tl.arange(0, BLOCK_B)
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    weights = weight + n[None, :].to(tl.int64) * INPUTS
    product = tl.zeros((BLOCK_B, BLOCK_N), tl.float32)
    other = tl.zeros((BLOCK_B, BLOCK_N), tl.float32)
    squares = tl.zeros((BLOCK_B,), tl.float32)
    sums = tl.zeros((BLOCK_B,), tl.float32)
    for start in range(0, INPUTS, BLOCK_D):
        d = start + tl.arange(0, BLOCK_D)
        within = (b < rows)[:, None] & (d < INPUTS)[None, :]
        part = tl.load(x + b[:, None] * INPUTS + d[None, :], mask=within, other=0.0).to(tl.float32)
        squares += tl.sum(part * part, axis=1)
        sums += tl.sum(part, axis=1)
        part = narrowed(part / unit, weight.dtype.element_ty)
        inside = (d < INPUTS)[:, None] & (n < outputs)[None, :]
        matrix = tl.load(weights + d[:, None], mask=inside, other=0.0)
        product = tl.dot(part, matrix, product, input_precision="ieee")
        if GATED:
            matrix = tl.load(weights + outputs.to(tl.int64) * INPUTS + d[:, None], mask=inside, other=0.0)
            other = tl.dot(part, matrix, other, input_precision="ieee")
    scale = tl.zeros((BLOCK_B,), tl.float32) + unit
    if NORM != NO_NORM:
        scale *= _factor(squares, sums, eps, INPUTS, NORM)
    product, other = product * scale[:, None], other * scale[:, None]
    if BIAS:
        product += tl.load(bias + n, mask=n < outputs, other=0.0).to(tl.float32)[None, :]
        if GATED:
            other += tl.load(bias + outputs + n, mask=n < outputs, other=0.0).to(tl.float32)[None, :]
    product = _activated(product, other, KIND, GATED)
    inside = (b < rows)[:, None] & (n < outputs)[None, :]
    address = b[:, None] * outputs + n[None, :]
    if ADD:
        product += tl.load(residual + address, mask=inside, other=0.0)
    tl.store(out + address, narrowed(product, out.dtype.element_ty), mask=inside)


@triton.jit
def joint_row(
    x, part, near, ahead, across, out, raw, eps, width, outputs,
    D: tl.constexpr, P: tl.constexpr, KIND: tl.constexpr, GATED: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_P: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    """Compute two products in one launch for one row: out = x + p W', and raw = out A' without out.

    Since out A' = x A' + p (A W)', with `across` = A W made in advance. raw is not
    normed: what takes it norms it with out's factor. near: W, (D, P); ahead: A,
    (N, D); across: (N, P). width: D. p is `part`, or what an activation makes of
    it where `part` is raw itself, (P,) or (2P,), and x the row that it was made of.
    """
    begin(PDL)
    blocks = tl.cdiv(width, BLOCK_N)
    block = tl.program_id(0)
    d, p = tl.arange(0, BLOCK_D), tl.arange(0, BLOCK_P)
    if block < blocks:
        n = block * BLOCK_N + tl.arange(0, BLOCK_N)
        inside = (n < width)[:, None] & (p < P)[None, :]
        matrix = tl.load(near + n[:, None] * P + p[None, :], mask=inside, other=0.0)
        wait(PDL)
        inner = _activated_part(x, part, eps, D, P, KIND, GATED, BLOCK_D, BLOCK_P)
        product = tl.sum(matrix.to(tl.float32) * inner[None, :], axis=1)
        product += tl.load(x + n, mask=n < width, other=0.0)
        tl.store(out + n, product, mask=n < width)
    else:
        n = (block - blocks) * BLOCK_N + tl.arange(0, BLOCK_N)
        within = (n < outputs)[:, None]
        first = tl.load(ahead + n[:, None] * D + d[None, :], mask=within & (d < D)[None, :], other=0.0)
        second = tl.load(across + n[:, None] * P + p[None, :], mask=within & (p < P)[None, :], other=0.0)
        wait(PDL)
        inner = _activated_part(x, part, eps, D, P, KIND, GATED, BLOCK_D, BLOCK_P)
        row = tl.load(x + d, mask=d < D, other=0.0)
        product = tl.sum(first.to(tl.float32) * row[None, :], axis=1)
        product += tl.sum(second.to(tl.float32) * inner[None, :], axis=1)
        tl.store(raw + n, product, mask=n < outputs)


@triton.jit
def _activated_part(
    x, part, eps, D: tl.constexpr, P: tl.constexpr, KIND: tl.constexpr, GATED: tl.constexpr,
    BLOCK_D: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    """Give (BLOCK_P,): `part`, or what the activation makes of it once it is normed as x is."""
    p = tl.arange(0, BLOCK_P)
    inner = tl.load(part + p, mask=p < P, other=0.0)
    if KIND != LINEAR:
        scale = factor(x, eps, D, BLOCK_D)
        inner *= scale
        other = inner
        if GATED:
            other = tl.load(part + P + p, mask=p < P, other=0.0) * scale
        inner = _activated(inner, other, KIND, GATED)
    return inner
