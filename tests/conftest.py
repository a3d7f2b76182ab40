"""What tests of several folders share."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import torch


@pytest.fixture(autouse=True)
def same_random_weights() -> Iterator[None]:
    """Networks of a test begin with the same weights whichever tests ran before, and leave no seed behind."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Statistical tests run the same lines many times over: tracing these for coverage would cost time and show nothing new."""
    for item in items:
        if item.get_closest_marker("statistical"):
            item.add_marker("no_cover")
