"""Orthogonalisation by an odd polynomial of a matrix: U S Vᵀ becomes nearly U Vᵀ with matrix products alone."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from octad_optim.errors import require

Coefficients = Sequence[Sequence[float]]

# Jordan 2024: the steepest slope at zero, at the price of singular values that end anywhere in [0.68, 1.21].
QUINTIC: Coefficients = ((3.4445, -4.7750, 2.0315),) * 5

# Amsel et al. 2025 (arXiv 2505.16932): each step the minimax polynomial of what the last one left of [0.001, 1].
POLAR_EXPRESS: Coefficients = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
    (1.891301407787398, -1.2679958271945868, 0.37680408948524835),
    (1.875, -1.25, 0.375),
    (1.875, -1.25, 0.375),
)

# Rounding in the Gram matrix that a segment may carry before it is computed afresh: beside bf16's 0.008, nothing.
NOISE_LIMIT = 4e-3


def newton_schulz(
    matrix: Float[Tensor, "rows cols"], coefficients: Coefficients = QUINTIC, eps: float = 1e-7
) -> Float[Tensor, "rows cols"]:
    """X ← G / max(‖G‖_F, ε);  for each (a, b, c):  X ← aX + bAX + cA²X with A = XXᵀ.

    The readable reference. Every singular value s of X becomes as + bs³ + cs⁵ at each step, the singular vectors
    stay. With `QUINTIC` all above 0.002‖G‖_F end in [0.68, 1.21], with `POLAR_EXPRESS`
    all above 0.001‖G‖_F within 1e-6 of 1.

    Args:
        matrix: G; computed in its dtype.
        coefficients: one (a, b, c) a step.
        eps: ε, below which a matrix counts as zero.

    Returns:
        X, of G's shape.

    Cost: 2·r²(2c + r) FLOPs a step, r <= c the two sides.
    Source: Jordan et al. 2024, "Muon"; Bernstein and Newhouse 2024 (arXiv 2409.20325).
    """
    x: Tensor = matrix / torch.linalg.matrix_norm(matrix).clamp(min=eps)
    is_tall = matrix.shape[0] > matrix.shape[1]
    if is_tall:
        x = x.T  # the Gram matrix of the short side is the small one, and the polynomial is the same
    for a, b, c in coefficients:
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if is_tall else x


def orthogonalise(
    matrices: Float[Tensor, "*batch rows cols"],
    coefficients: Coefficients = QUINTIC,
    eps: float = 1e-7,
    dtype: torch.dtype | None = None,
) -> Float[Tensor, "*batch rows cols"]:
    """`newton_schulz` of each matrix of a batch, with fewer products.

    Wide matrices iterate on the Gram matrix A alone and are multiplied once: with Q = aI + bA + cA², the steps
    are A ← QAQ and P ← QP, and X ← PX at the end. That trades the 2r²c of every further step for 3r³, so it is
    done where c > 1.5r. It squares the condition number: `segments` says when to start afresh.

    Args:
        matrices: the last two axes are the matrix; any number of axes before them.
        coefficients: one (a, b, c) a step.
        eps: a matrix of Frobenius norm below it counts as zero.
        dtype: in which to compute; by default that of the matrices.

    Returns:
        The same shape, in `dtype`.

    Raises:
        OptimError: fewer than two axes.

    Cost: for five steps 2·r²(10c + 5r) FLOPs, or 2·r²(2c + 17r) where c > 1.5r.
    Source: the formulas are those of `newton_schulz`; all Q commute, being polynomials of one matrix.
    """
    shape = tuple(matrices.shape)
    require(len(shape) >= 2, f"a tensor of shape {shape}", "a matrix has two axes: give vectors to AdamW")
    if matrices.numel() == 0:
        return matrices.to(dtype or matrices.dtype)
    is_tall = shape[-2] > shape[-1]
    x = matrices.to(dtype or matrices.dtype).reshape(-1, *shape[-2:])
    if is_tall:
        x = x.mT
    x = x / torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True).clamp(min=eps)
    for segment in segments(coefficients, x.shape[-2], x.shape[-1], x.dtype):
        x = _apply(x, segment)
    return (x.mT if is_tall else x).reshape(shape)


def segments(coefficients: Coefficients, rows: int, cols: int, dtype: torch.dtype) -> list[Coefficients]:
    """Cut the steps into runs that share one Gram matrix, the cheapest cut that float arithmetic allows.

    A step multiplies the smallest eigenvalues of A by a², and the rounding error among them with it. A run ends
    before that error, eps·∏a², passes `NOISE_LIMIT`; float32 does five steps of `QUINTIC` in one run, bfloat16
    never two. Matrices of c <= 1.5r get runs of one step, which is the textbook iteration.

    Args:
        coefficients: one (a, b, c) a step.
        rows: r, the short side.
        cols: c, the long side.
        dtype: in which the steps are computed.

    Returns:
        The same steps in the same order, cut into runs.
    """
    precision = torch.finfo(dtype).eps
    runs: list[list[Sequence[float]]] = []
    noise = float("inf")
    for step in coefficients:
        if 2 * cols <= 3 * rows or noise > NOISE_LIMIT:
            runs.append([])
            noise = precision
        runs[-1].append(step)
        noise *= step[0] ** 2
    return list(runs)


def _apply(x: Float[Tensor, "n r c"], run: Coefficients) -> Float[Tensor, "n r c"]:
    """X ← Q_k ... Q_1 X, with Q = aI + B and B = bA + cA²."""
    gram = x @ x.mT
    product: Tensor | None = None
    for i, (a, b, c) in enumerate(run):
        B = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        if len(run) == 1:  # never form Q: in bf16 its diagonal would lose B's digits
            return torch.baddbmm(x, B, x, beta=a)
        if product is None:
            product = B.clone()
            product.diagonal(dim1=-2, dim2=-1).add_(a)
        else:
            product = torch.baddbmm(product, B, product, beta=a)
        if i + 1 < len(run):
            left = torch.baddbmm(gram, B, gram, beta=a)
            gram = torch.baddbmm(left, left, B, beta=a)
    assert product is not None
    return torch.bmm(product, x)
