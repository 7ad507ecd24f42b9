"""A deployment's surroundings on one machine: real where they can be, stand-ins where they cannot.

PostgreSQL, Envoy, two copies of a small service and a load of requests are real; Datadog, Slack, Railway and GitHub are
stand-ins on loopback that answer from what happens. Nothing in the product depends on this package.
"""

from deploykit.sandbox.addresses import Addresses
from deploykit.sandbox.box import Sandbox, Vendors
from deploykit.sandbox.calls import Call
from deploykit.sandbox.errors import SandboxError
from deploykit.sandbox.tally import Tally

__all__ = ["Addresses", "Call", "Sandbox", "SandboxError", "Tally", "Vendors"]
