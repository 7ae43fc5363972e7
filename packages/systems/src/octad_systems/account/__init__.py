"""What a transformer costs, from numbers alone: parameters, FLOPs of each matrix product, bytes by purpose.

`TransformerShape(...)` is the only input; `count_parameters`, `forward_flops_per_token`, `training_flops_per_token`,
`training_memory`, `kv_cache_bytes` and `decode_bytes` answer, and `account_table` prints it all.
"""

from octad_systems.account.flops import (
    ForwardFlops,
    decode_flops,
    forward_flops_at,
    forward_flops_per_token,
    mean_visible_keys,
    prefill_flops,
    six_n_flops_per_token,
    training_flops_per_token,
)
from octad_systems.account.memory import (
    TrainingMemory,
    activation_bytes_per_token_and_layer,
    decode_bytes,
    kv_cache_bytes,
    kv_cache_bytes_per_token,
    optimizer_state_bytes,
    training_memory,
)
from octad_systems.account.shape import Parameters, TransformerShape, count_active_parameters, count_parameters
from octad_systems.account.table import account_table, with_prefix

__all__ = [
    "ForwardFlops",
    "Parameters",
    "TrainingMemory",
    "TransformerShape",
    "account_table",
    "activation_bytes_per_token_and_layer",
    "count_active_parameters",
    "count_parameters",
    "decode_bytes",
    "decode_flops",
    "forward_flops_at",
    "forward_flops_per_token",
    "kv_cache_bytes",
    "kv_cache_bytes_per_token",
    "mean_visible_keys",
    "optimizer_state_bytes",
    "prefill_flops",
    "six_n_flops_per_token",
    "training_flops_per_token",
    "training_memory",
    "with_prefix",
]
