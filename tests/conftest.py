"""What tests of several folders share."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest


@pytest.fixture(scope="session")
def coarse_errors() -> Callable[[], AbstractContextManager[None]]:
    """Make audits quick that are not asked for verdicts: by fewer resamples and divisions of MD."""

    @contextmanager
    def coarse() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("openmm_trajgan.analysis.yardstick.N_RESAMPLES", 30)
            patch.setattr("openmm_trajgan.analysis.yardstick.N_DRAWS", 8)
            yield

    return coarse


@pytest.fixture
def coarse(coarse_errors: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Audits of this test have coarse errors."""
    with coarse_errors():
        yield
