"""Checkpoints that survive a kill, a full disk and a power cut.

`save_checkpoint(folder, state)` writes a tree of tensors and plain values aside, flushes it and renames it into place;
`load_checkpoint(folder)` gives it back after checking every byte; `latest_checkpoint(run_dir)` finds the newest whole
one and says what is wrong with newer ones; `prune_checkpoints(run_dir, keep=3)` deletes old ones, never the last good.
"""

from octad_systems.checkpoint.folder import load_checkpoint, save_checkpoint
from octad_systems.checkpoint.manifest import FileRecord, Manifest, read_manifest, verify_checkpoint
from octad_systems.checkpoint.rotation import latest_checkpoint, prune_checkpoints

__all__ = [
    "FileRecord",
    "Manifest",
    "latest_checkpoint",
    "load_checkpoint",
    "prune_checkpoints",
    "read_manifest",
    "save_checkpoint",
    "verify_checkpoint",
]
