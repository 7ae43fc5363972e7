from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("octad_scaling", deadline=None)  # a busy machine is no failure
settings.load_profile("octad_scaling")


@pytest.fixture(scope="session")
def scaling_data() -> Path:
    folder = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "scaling"
    if not folder.is_dir():
        pytest.skip("the measured scaling data is not beside the repository")
    return folder
