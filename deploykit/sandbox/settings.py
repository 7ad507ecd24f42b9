"""What a sandbox is to be, as its parent tells the keeper."""

import json
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Settings:
    """What a sandbox is to be.

    Attributes:
        folder: Where configuration and logs go.
        rate: Requests a second; none when zero.
        load_seconds: How long the load lasts.
        ingest_delay: Seconds until Datadog has a point.
        postgres_dsn: A server to use instead of the wheel's.
        ports: Ports that are to be fixed, by name.
    """

    folder: str
    rate: float
    load_seconds: float
    ingest_delay: float = 1.0
    postgres_dsn: str | None = None
    ports: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))
