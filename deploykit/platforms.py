"""What deploying and rolling back have in common: waiting for the platform."""

from __future__ import annotations

import time

from deploykit.context import Context
from deploykit.errors import Rejected, Unreachable
from deploykit.model import Evidence
from deploykit.ports import Deployment, Platform


def newest(platform: Platform, service: str) -> Deployment:
    """The newest deployment of a service.

    Raises:
        Rejected: The platform knows none.
    """
    found = platform.deployments(service, limit=1)
    if not found:
        raise Rejected(
            f"the platform knows no deployment of {service}", where="platform", mend="check platform_service"
        )
    return found[0]


def wait_for(context: Context, service: str, commit: str) -> Deployment:
    """Wait until the newest deployment of a commit has ended, well or not.

    Raises:
        Unreachable: It took longer than the settings allow, or the platform stayed silent for that long.
    """
    limit = context.environment.platform.deploy_timeout
    began = time.monotonic()
    said = ""
    while time.monotonic() - began < limit:
        try:
            latest = newest(context.ports.platform, service)
        except Unreachable as error:
            said = error.what
        else:
            said = f"{latest.status} after {time.monotonic() - began:.0f} s"
            if latest.commit == commit and latest.state != "pending":
                return latest
        context.progress(f"{service}: {said}", Evidence())
        context.pause(min(context.look_every, 1.0))
    raise Unreachable(
        f"{service} was not ready within {limit:.0f} s; last word: {said}",
        where="platform",
        mend="look at the platform's own page, then `deploykit resume`",
    )
