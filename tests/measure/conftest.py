from __future__ import annotations

import pytest

from deploykit.context import Context
from tests.world import World


@pytest.fixture
def context(world: World) -> Context:
    """A run whose release is deployed beside live."""
    planned = world.plan(approved=False)
    world.deployed(planned)
    return world.context(planned)
