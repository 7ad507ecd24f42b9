"""The log agent beside the shop: follows the files that its copies write, and ships each line as it is."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

#: Seconds between two looks, and bytes that are read at one.
LOOK_SECONDS, MOST = 0.2, 1_000_000


class Agent:
    """Follows files that may not be there yet.

    Args:
        files: The files, and what is known of all lines in one: `service`, `ddsource`, `ddtags`, `hostname`.
        ship: Takes the lines.
    """

    def __init__(
        self, files: Mapping[Path, Mapping[str, str]], ship: Callable[[Iterable[Mapping[str, Any]]], None]
    ) -> None:
        self.files, self.ship = files, ship
        self.places: dict[Path, int] = {}

    async def run(self) -> None:
        """Looks again and again, for ever. What an earlier sandbox wrote into the same folder is left out."""
        self.places = {file: file.stat().st_size for file in self.files if file.exists()}
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Ships the lines that are whole by now."""
        for file, known in self.files.items():
            if not file.exists():
                continue
            with file.open("rb") as stream:
                stream.seek(self.places.get(file, 0))
                whole, end, _ = stream.read(MOST).rpartition(b"\n")
            self.places[file] = self.places.get(file, 0) + len(whole) + len(end)
            self.ship({**known, "message": line} for line in whole.decode("utf-8", "replace").splitlines() if line)
