"""Tasks: instructions whose answers a program knows, for SFT, preferences and rewards.

`generate_tasks(seed, n)` draws instructions over lists, letters and numbers in many phrasings;
`generate_tasks(seed, n, split="held_out")` draws from operands that the training split never sees.
`verify(task, completion)` gives the reward, and `preference_pairs(tasks, seed)` wrong answers to learn from.
"""

from octad_align.tasks.generate import generate_tasks, split_of
from octad_align.tasks.operations import ALL_OPERATIONS
from octad_align.tasks.preferences import PreferencePair, preference_pairs
from octad_align.tasks.task import Operands, Task
from octad_align.tasks.verify import canonical_answer, verify

__all__ = [
    "ALL_OPERATIONS",
    "Operands",
    "PreferencePair",
    "Task",
    "canonical_answer",
    "generate_tasks",
    "preference_pairs",
    "split_of",
    "verify",
]
