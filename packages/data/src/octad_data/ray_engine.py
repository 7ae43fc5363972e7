"""Running a recipe with Ray Data: units are read and batches are done wherever the cluster has room.

Every node sees the run's folder and the sources under the same paths (a shared file system). Batches, their names and
what is written of them are those of `Processes`, byte for byte: the engines share everything but who does which batch.
"""

import os
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from octad_data.engine import Processes
from octad_data.errors import DataError
from octad_data.segment import Done, culprit_of, do
from octad_data.step import Resources
from octad_data.units import Unit
from octad_data.workers import Lost, Pool


@dataclass(frozen=True)
class RayData:
    """A Ray cluster, or Ray on this machine.

    Attributes:
        address: of a running cluster; empty starts Ray here, unless it runs already in this process.
        workers: batches done at the same time; 0 is one a CPU of the cluster.
        memory_mb: of data that one batch may hold; 0 is no limit. A barrier, which runs on the node that called, may
            hold half of that machine.
        batch_timeout_s: after which a batch is taken from its worker and looked into.
    """

    address: str = ""
    workers: int = 0
    memory_mb: int = 0
    batch_timeout_s: float = 600.0

    def run(self, units: Sequence[Unit]) -> Iterator[Done]:
        """The batches as rows of a data set: read where a unit is, done where there is room."""
        ray = self._started()
        if not units:
            return
        context = ray.data.DataContext.get_current()
        context.target_max_block_size = 1  # a block for each batch, so that each may go to another worker
        context.enable_progress_bars = False
        workers = self.workers or max(int(ray.cluster_resources().get("CPU", 1)), 1)
        rows = [{"unit": pickle.dumps(unit)} for unit in units]
        batches = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _works, batch_size=1, num_cpus=0.1
        )
        done = batches.map_batches(
            _Doer,
            batch_size=1,
            num_cpus=0.9,
            concurrency=(1, workers),
            fn_constructor_args=(self.batch_timeout_s, self.memory_mb),
        )
        for row in done.iter_rows():
            outcome = pickle.loads(row["done"])
            if isinstance(outcome, DataError):
                raise outcome
            yield outcome

    def resources(self, scratch: Path) -> Resources:
        """Those of the machine that called."""
        return Processes().resources(scratch)

    def _started(self) -> Any:
        try:
            import ray
            import ray.data
        except ModuleNotFoundError as error:
            raise DataError(f"missing extra: this engine needs {error.name}; pip install 'octad-data[ray]'") from None
        if not ray.is_initialized():
            os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
            ray.init(address=self.address or None, include_dashboard=False, log_to_driver=False)
        return ray


def _works(rows: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for unit in rows["unit"]:
        for work in pickle.loads(unit).works():
            yield {"work": np.array([pickle.dumps(work)], dtype=object)}


class _Doer:
    """One worker process inside a Ray actor, so that a crash costs a record here as it does on one machine."""

    def __init__(self, timeout_s: float, memory_mb: int) -> None:
        self._pool = Pool(do, 1, timeout_s, memory_mb)

    def __call__(self, rows: dict[str, Any]) -> dict[str, Any]:
        works = map(pickle.loads, rows["work"])
        try:
            outcomes: list[Any] = list(self._pool.run(works, _instead))
        except DataError as error:
            outcomes = [error]
        return {"done": np.array([pickle.dumps(outcome) for outcome in outcomes], dtype=object)}

    def __del__(self) -> None:
        self._pool.stop()


def _instead(lost: Lost[Any]) -> Any:
    return culprit_of(lost.task, lost.reason)
