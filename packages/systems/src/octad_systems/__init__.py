"""What surrounds a training step: checkpoints that survive anything, and what the step costs.

- `save_checkpoint`, `load_checkpoint`, `latest_checkpoint`, `prune_checkpoints`: whole or not there, no pickle.
- `TransformerShape` and `count_parameters`, `training_flops_per_token`, `training_memory`, `account_table`: what a
  model of that shape costs, from numbers alone.
- `measure_peak`, `roofline`, `StepMeter`: what this device can do, the least time of a piece of work, a run's pace.
- `machine`, `compute_dtype`, `resident_bytes`, `free_memory_bytes`: what there is and what is used.
- `kernels`: attention and the loss of logits on the CPU, compiled where they run (`octad_systems.kernels`).
- `write_atomically`: one file, old or new, never half. `current_ranks`: which of how many processes this is.

Errors are `SystemsError` (a ValueError), those of checkpoints `CheckpointError`.
"""

from octad_systems.account import (
    ForwardFlops,
    Parameters,
    TrainingMemory,
    TransformerShape,
    account_table,
    activation_bytes_per_token_and_layer,
    count_active_parameters,
    count_parameters,
    decode_bytes,
    decode_flops,
    forward_flops_at,
    forward_flops_per_token,
    kv_cache_bytes,
    kv_cache_bytes_per_token,
    mean_visible_keys,
    optimizer_state_bytes,
    prefill_flops,
    six_n_flops_per_token,
    training_flops_per_token,
    training_memory,
    with_prefix,
)
from octad_systems.atomic import (
    write_atomically,
)
from octad_systems.checkpoint import (
    FileRecord,
    Manifest,
    latest_checkpoint,
    load_checkpoint,
    prune_checkpoints,
    read_manifest,
    save_checkpoint,
    verify_checkpoint,
)
from octad_systems.errors import (
    CheckpointError,
    KernelError,
    SystemsError,
    UnknownVersionError,
)
from octad_systems.memory import (
    free_disk_bytes,
    free_memory_bytes,
    peak_resident_bytes,
    reset_peak_resident,
    resident_bytes,
    total_memory_bytes,
)
from octad_systems.meter import (
    Machine,
    Peak,
    Roofline,
    StepMeter,
    available_cores,
    compute_dtype,
    device_name,
    machine,
    measure_peak,
    readable_time,
    roofline,
    synchronize,
)
from octad_systems.parallel import (
    Ranks,
    current_ranks,
    ranks_from_environment,
)

__all__ = [
    "CheckpointError",
    "FileRecord",
    "ForwardFlops",
    "KernelError",
    "Machine",
    "Manifest",
    "Parameters",
    "Peak",
    "Ranks",
    "Roofline",
    "StepMeter",
    "SystemsError",
    "TrainingMemory",
    "TransformerShape",
    "UnknownVersionError",
    "account_table",
    "activation_bytes_per_token_and_layer",
    "available_cores",
    "compute_dtype",
    "count_active_parameters",
    "count_parameters",
    "current_ranks",
    "decode_bytes",
    "decode_flops",
    "device_name",
    "forward_flops_at",
    "forward_flops_per_token",
    "free_disk_bytes",
    "free_memory_bytes",
    "kv_cache_bytes",
    "kv_cache_bytes_per_token",
    "latest_checkpoint",
    "load_checkpoint",
    "machine",
    "mean_visible_keys",
    "measure_peak",
    "optimizer_state_bytes",
    "peak_resident_bytes",
    "prefill_flops",
    "prune_checkpoints",
    "ranks_from_environment",
    "read_manifest",
    "readable_time",
    "reset_peak_resident",
    "resident_bytes",
    "roofline",
    "save_checkpoint",
    "six_n_flops_per_token",
    "synchronize",
    "total_memory_bytes",
    "training_flops_per_token",
    "training_memory",
    "verify_checkpoint",
    "with_prefix",
    "write_atomically",
]
