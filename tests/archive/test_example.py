"""The archive in the repository: what was sealed once must hold with every later version."""

from __future__ import annotations

from pathlib import Path

from deploykit.verify import verify

EXAMPLE = next((Path(__file__).parents[2] / "reports" / "example").glob("*/plan.json")).parent


def test_the_example_still_holds() -> None:
    found = verify(EXAMPLE)
    assert found.wrong == ()
    assert found.sealed
