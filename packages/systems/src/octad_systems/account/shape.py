"""The numbers that fix what a transformer costs, and how many parameters they make."""

from dataclasses import dataclass, fields

from octad_systems.errors import SystemsError


@dataclass(frozen=True)
class TransformerShape:
    """A decoder-only transformer as its cost sees it; the defaults are the Llama family's choices.

    Args:
        vocab_size, d_model, num_layers, num_heads, num_kv_heads, d_head, d_ff: counts; num_kv_heads divides num_heads.
        is_gated: the MLP has three matrices (SwiGLU, GEGLU), otherwise two.
        tied_embeddings: the output head is the embedding's matrix.
        has_qkv_bias, has_output_bias, has_mlp_bias: bias vectors of the attention's and the MLP's matrices.
        norms_per_layer: norms of width d_model in a block: 2, or 4 with norms after the sublayers as well.
        has_norm_bias: LayerNorm (scale and shift), otherwise RMSNorm (scale).
        has_final_norm: a norm before the output head.
        has_qk_norm: a norm of width d_head on queries and one on keys in each layer.
        num_positions: rows of a learned position embedding; 0 for rotary or none.
        num_experts: routed experts, each an MLP of width d_ff; 0 for a dense MLP.
        num_active_experts: routed experts a token visits. num_shared_experts: experts that every token visits.
        window: keys a query sees at most, itself included (sliding window in every layer); None for all.

    Raises:
        SystemsError: a count below its least value, heads that do not divide, or experts that do not add up.
    """

    vocab_size: int
    d_model: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    d_head: int
    d_ff: int
    is_gated: bool = True
    tied_embeddings: bool = True
    has_qkv_bias: bool = False
    has_output_bias: bool = False
    has_mlp_bias: bool = False
    norms_per_layer: int = 2
    has_norm_bias: bool = False
    has_final_norm: bool = True
    has_qk_norm: bool = False
    num_positions: int = 0
    num_experts: int = 0
    num_active_experts: int = 0
    num_shared_experts: int = 0
    window: int | None = None

    def __post_init__(self) -> None:
        may_be_zero = ("num_layers", "d_ff", "norms_per_layer", "num_positions", "num_experts", "num_active_experts")
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or value is None:
                continue
            least = 0 if field.name in (*may_be_zero, "num_shared_experts") else 1
            if value < least:
                raise SystemsError(f"{field.name}={value} must be at least {least}")
        if self.num_heads % self.num_kv_heads:
            divisors = [heads for heads in range(1, self.num_heads + 1) if self.num_heads % heads == 0]
            nearest = min(divisors, key=lambda heads: abs(heads - self.num_kv_heads))
            raise SystemsError(
                f"num_kv_heads={self.num_kv_heads} does not divide num_heads={self.num_heads}; "
                f"use num_kv_heads={nearest}"
            )
        if self.num_active_experts > self.num_experts:
            raise SystemsError(f"num_active_experts={self.num_active_experts} exceeds num_experts={self.num_experts}")
        if self.num_experts and not self.num_active_experts:
            raise SystemsError(
                f"num_experts={self.num_experts} needs num_active_experts of 1 to {self.num_experts}, not 0"
            )

    @property
    def d_query(self) -> int:
        """Width of all queries together, num_heads * d_head."""
        return self.num_heads * self.d_head

    @property
    def d_kv(self) -> int:
        """Width of all keys (or all values) together, num_kv_heads * d_head."""
        return self.num_kv_heads * self.d_head

    @property
    def mlp_matrices(self) -> int:
        """Matrices in one MLP or expert: 3 if gated, otherwise 2."""
        return 3 if self.is_gated else 2

    @property
    def visited_mlps(self) -> int:
        """MLPs of width d_ff that one token goes through in a layer."""
        return self.num_active_experts + self.num_shared_experts if self.num_experts else 1

    @property
    def held_mlps(self) -> int:
        """MLPs of width d_ff that a layer holds."""
        return self.num_experts + self.num_shared_experts if self.num_experts else 1


@dataclass(frozen=True)
class Parameters:
    """Parameter counts by part; `head` is 0 when tied. Vectors are apart because optimizers treat them apart."""

    embedding: int
    positions: int
    attention: int
    mlp: int
    router: int
    vectors: int
    head: int

    @property
    def total(self) -> int:
        """All parameters, a tied matrix counted once."""
        return self.embedding + self.positions + self.hidden_matrices + self.vectors + self.head

    @property
    def hidden_matrices(self) -> int:
        """Parameters in the blocks' matrices: attention, MLP or experts, router."""
        return self.attention + self.mlp + self.router


def count_parameters(shape: TransformerShape) -> Parameters:
    """Parameters of every part, biases and norms under `vectors`."""
    d, norm = shape.d_model, 2 if shape.has_norm_bias else 1
    mlp_bias = (shape.mlp_matrices - 1) * shape.d_ff + d if shape.has_mlp_bias else 0
    layer_vectors = (
        shape.norms_per_layer * norm * d
        + (2 * norm * shape.d_head if shape.has_qk_norm else 0)
        + (shape.d_query + 2 * shape.d_kv if shape.has_qkv_bias else 0)
        + (d if shape.has_output_bias else 0)
        + shape.held_mlps * mlp_bias
    )
    return Parameters(
        embedding=shape.vocab_size * d,
        positions=shape.num_positions * d,
        attention=shape.num_layers * (2 * d * shape.d_query + 2 * d * shape.d_kv),
        mlp=shape.num_layers * shape.held_mlps * shape.mlp_matrices * d * shape.d_ff,
        router=shape.num_layers * shape.num_experts * d,
        vectors=shape.num_layers * layer_vectors + (norm * d if shape.has_final_norm else 0),
        head=0 if shape.tied_embeddings else shape.vocab_size * d,
    )


def count_active_parameters(shape: TransformerShape) -> int:
    """Parameters that one token uses: all of a dense model, the visited experts only of a mixture."""
    idle = shape.held_mlps - shape.visited_mlps
    bias = (shape.mlp_matrices - 1) * shape.d_ff + shape.d_model if shape.has_mlp_bias else 0
    idle_each = shape.mlp_matrices * shape.d_model * shape.d_ff + bias
    return count_parameters(shape).total - shape.num_layers * idle * idle_each
