"""The reference implementation, imported once for the whole session."""

import os
import warnings
from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch
from hypothesis import settings

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # the reference library reports its import otherwise


settings.register_profile("octad_align", deadline=None)  # a busy machine is no failure
settings.load_profile("octad_align")


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def trl():
    """TRL's loss code: the classes, whose methods are called unbound on a stub."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the import only: other people's deprecations
        pytest.importorskip("trl", reason="TRL, the reference, is not installed")
        from trl.experimental.cpo import CPOTrainer
        from trl.experimental.orpo import ORPOTrainer
        from trl.trainer import utils
        from trl.trainer.dpo_trainer import DPOTrainer
        from trl.trainer.grpo_trainer import GRPOTrainer
        from trl.trainer.kto_trainer import KTOTrainer
        from trl.trainer.reward_trainer import RewardTrainer
    return SimpleNamespace(
        CPOTrainer=CPOTrainer,
        DPOTrainer=DPOTrainer,
        GRPOTrainer=GRPOTrainer,
        KTOTrainer=KTOTrainer,
        ORPOTrainer=ORPOTrainer,
        RewardTrainer=RewardTrainer,
        utils=utils,
    )


@pytest.fixture
def accelerator():
    """One process: gathering and reducing are the identity."""
    return SimpleNamespace(
        device=torch.device("cpu"),
        num_processes=1,
        gather=lambda x: x,
        gather_for_metrics=lambda x: x,
        reduce=lambda x, reduction: x,
    )


@pytest.fixture
def metrics():
    return defaultdict(lambda: defaultdict(list))
