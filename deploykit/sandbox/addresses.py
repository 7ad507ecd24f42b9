"""Where everything in the sandbox is: addresses, ports, identifiers and made-up tokens."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploykit.sandbox.authority import CA_FILE

GITHUB_OWNER = "acme"
GITHUB_REPOSITORY = "shop"
GITHUB_TOKEN = "sandbox-github-token"  # noqa: S105  # made up: opens only the stand-in
RAILWAY_TOKEN = "sandbox-railway-token"  # noqa: S105  # made up
RAILWAY_PROJECT_TOKEN = "sandbox-railway-project-token"  # noqa: S105  # made up
RAILWAY_PROJECT = "ac239dff-7e19-45ea-b0f5-b56ebd8afbc1"
RAILWAY_PRODUCTION = "4f88d766-bb35-4b8f-bb99-3ee702a47388"
RAILWAY_STAGING = "65f54102-797b-49b7-be3a-77bbcd1555d6"
RAILWAY_GREEN = "f12f481f-1eda-4586-b5ae-da47f69a0687"
RAILWAY_BLUE = "228ee759-5650-4df6-94a8-f043a1f69815"
RAILWAY_SHOP_STAGING = "9b6d2f0a-4f0e-4a53-8a3b-0d1f6d3c6a57"
SESSION_KEY = "sandbox-session-key"
DATADOG_API_KEY = "sandbox-datadog-api-key"
DATADOG_APP_KEY = "sandbox-datadog-app-key"
SLACK_TOKEN = "xoxb-sandbox"  # noqa: S105  # made up
SLACK_CHANNELS = {
    "deployments": "C0000000001",
    "support": "C0000000002",
    "database-oncall": "C0000000003",
    "infra-oncall": "C0000000004",
}
SENTRY_ORGANIZATION = "acme"
SENTRY_PROJECT = "shop"
SENTRY_TOKEN = "sandbox-sentry-token"  # noqa: S105  # made up
SENTRY_PUBLIC_KEY = "5a0dbe0f5a0dbe0f5a0dbe0f5a0dbe0f"
SENTRY_PROJECT_ID = 42
PAGERDUTY_TOKEN = "sandbox-pagerduty-token"  # noqa: S105  # made up
PAGERDUTY_ROUTING_KEY = "R0SANDBOX0ROUTING0KEY00000000000"
PAGERDUTY_POLICY = "PPOLICY"
PAGERDUTY_SERVICE = "PSERVIC"
PAGERDUTY_FROM = "deploykit@sandbox.example"
UNLEASH_TOKEN = "default:production.sandbox-unleash-token"  # noqa: S105  # made up
UNLEASH_ADMIN_TOKEN = "*:*.sandbox-unleash-admin-token"  # noqa: S105  # made up
VENDORS = ("github", "railway", "datadog", "slack", "sentry", "pagerduty", "unleash")
PORTS = ("proxy", "tls", "staging", "envoy_admin", "green", "blue", "staging_copy", *VENDORS, "control")
#: The name on the router's certificate. It resolves nowhere: who asks for it connects to loopback.
HOST = "shop.sandbox.invalid"
#: All names on the sandbox's certificate.
NAMES = (HOST, "127.0.0.1", "localhost")
#: The one origin that the shop's browsers come from.
ORIGIN = f"https://{HOST}"


@dataclass(frozen=True)
class Addresses:
    """Everything a client needs to reach the sandbox.

    Attributes:
        folder: Where configuration and logs are written.
        ports: Port by name, those of `PORTS`; `tls` is the proxy with TLS, `staging` likewise before the staging copy.
        postgres_dsn: The shop's database.
        postgres_bin: Folder of `psql`, `pg_dump` and `pg_restore`.
    """

    folder: Path
    ports: Mapping[str, int]
    postgres_dsn: str
    postgres_bin: Path
    github_owner: str = GITHUB_OWNER
    github_repository: str = GITHUB_REPOSITORY
    github_token: str = GITHUB_TOKEN
    railway_token: str = RAILWAY_TOKEN
    railway_project_token: str = RAILWAY_PROJECT_TOKEN
    railway_project_id: str = RAILWAY_PROJECT
    railway_environment_id: str = RAILWAY_PRODUCTION
    railway_staging_id: str = RAILWAY_STAGING
    railway_green_id: str = RAILWAY_GREEN
    railway_blue_id: str = RAILWAY_BLUE
    railway_shop_staging_id: str = RAILWAY_SHOP_STAGING
    tls_host: str = HOST
    origin: str = ORIGIN
    session_key: str = SESSION_KEY
    datadog_api_key: str = DATADOG_API_KEY
    datadog_app_key: str = DATADOG_APP_KEY
    slack_token: str = SLACK_TOKEN
    sentry_token: str = SENTRY_TOKEN
    sentry_organization: str = SENTRY_ORGANIZATION
    sentry_project: str = SENTRY_PROJECT
    pagerduty_token: str = PAGERDUTY_TOKEN
    pagerduty_routing_key: str = PAGERDUTY_ROUTING_KEY
    pagerduty_policy: str = PAGERDUTY_POLICY
    pagerduty_service: str = PAGERDUTY_SERVICE
    pagerduty_from: str = PAGERDUTY_FROM
    unleash_token: str = UNLEASH_TOKEN
    unleash_admin_token: str = UNLEASH_ADMIN_TOKEN
    slack_channels: Mapping[str, str] = dataclasses.field(default_factory=lambda: dict(SLACK_CHANNELS))

    @property
    def checkouts(self) -> Path:
        """The folder in which every release is checked out under its tag."""
        return self.folder / "checkouts"

    @property
    def backups(self) -> Path:
        """The folder of the database's backups."""
        return self.folder / "backups"

    @property
    def service_url(self) -> str:
        """The shop as its users see it: through the proxy."""
        return local_url(self.ports["proxy"])

    @property
    def staging_url(self) -> str:
        """The staging copy as its users see it."""
        return local_url(self.ports["staging"])

    @property
    def ca_file(self) -> Path:
        """The certificate of the sandbox's own authority."""
        return self.folder / CA_FILE

    @property
    def green_url(self) -> str:
        """The green copy, past the proxy."""
        return local_url(self.ports["green"])

    @property
    def blue_url(self) -> str:
        """The blue copy, past the proxy."""
        return local_url(self.ports["blue"])

    @property
    def envoy_admin_url(self) -> str:
        """Envoy's admin interface."""
        return local_url(self.ports["envoy_admin"])

    @property
    def github_url(self) -> str:
        """Base address for `Github(base_url=...)`."""
        return local_url(self.ports["github"])

    @property
    def railway_url(self) -> str:
        """Railway's GraphQL endpoint."""
        return local_url(self.ports["railway"]) + "/graphql/v2"

    @property
    def datadog_url(self) -> str:
        """Address for `Configuration(host=...)`."""
        return local_url(self.ports["datadog"])

    @property
    def slack_url(self) -> str:
        """Address for `WebClient(base_url=...)`, with the trailing `/api/` that it needs."""
        return local_url(self.ports["slack"]) + "/api/"

    @property
    def sentry_url(self) -> str:
        """Sentry's address, before `/api/0`."""
        return local_url(self.ports["sentry"])

    @property
    def sentry_dsn(self) -> str:
        """Where the shop's copies send what went wrong."""
        return f"http://{SENTRY_PUBLIC_KEY}@127.0.0.1:{self.ports['sentry']}/{SENTRY_PROJECT_ID}"

    @property
    def pagerduty_url(self) -> str:
        """PagerDuty's address for `RestApiV2Client(base_url=...)`; its certificate is vouched for by `ca_file`."""
        return f"https://127.0.0.1:{self.ports['pagerduty']}"

    @property
    def unleash_url(self) -> str:
        """Unleash's address, before `/api`."""
        return local_url(self.ports["unleash"])

    def to_json(self) -> str:
        """Writes the fields as JSON, for the processes of the sandbox."""
        return json.dumps(dataclasses.asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> "Addresses":
        """Reads what `to_json` wrote."""
        fields = json.loads(text)
        return cls(**{**fields, "folder": Path(fields["folder"]), "postgres_bin": Path(fields["postgres_bin"])})


def local_url(port: int) -> str:
    """The loopback address with that port."""
    return f"http://127.0.0.1:{port}"
