"""What deploying and rolling back have in common: waiting for the platform."""

from __future__ import annotations

import time
from collections.abc import Callable

from deploykit.context import Context
from deploykit.errors import ProviderError, Rejected, Unreachable
from deploykit.model import Evidence
from deploykit.ports import Deployment, Platform

#: How many of a service's deployments are looked through for one: more than anybody tries in a night.
LATEST = 50


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


def running(platform: Platform, service: str) -> Deployment:
    """The newest deployment of a service that runs, or else its newest.

    Raises:
        Rejected: The platform knows none.
    """
    known = (one for one in platform.deployments(service, limit=LATEST) if one.state == "running")
    return next(known, None) or newest(platform, service)


def find(platform: Platform, service: str, deployment: str) -> Deployment:
    """One deployment of a service by its id.

    Raises:
        Rejected: It is not among the latest.
    """
    for one in platform.deployments(service, limit=LATEST):
        if one.id == deployment:
            return one
    raise Rejected(f"{service} has no deployment {deployment}", where="platform", mend="look at the platform's page")


def way_back(platform: Platform, service: str, commit: str) -> Deployment:
    """The newest deployment of another commit that the platform can go back to.

    Raises:
        Rejected: There is none.
    """
    for one in platform.deployments(service, limit=LATEST):
        if one.commit != commit and one.can_roll_back:
            return one
    raise Rejected(
        f"{service} has no earlier deployment to go back to, among its latest {LATEST}",
        where="platform",
        mend="traffic is on live; deploy a good release there by hand",
    )


def wait_for(context: Context, service: str, commit: str) -> Deployment:
    """Wait until the newest deployment of a commit has ended, well or not.

    Raises:
        Unreachable: It took longer than the settings allow, or the platform stayed silent for that long.
    """
    platform = context.ports.platform
    return _wait(context, service, lambda: newest(platform, service), lambda one: one.commit == commit)


def wait_for_restart(context: Context, service: str, deployment: str, since: str) -> Deployment:
    """Wait until a deployment's status has changed since it was `since`, and has come to an end, well or not.

    Raises:
        Unreachable: It took longer than the settings allow, or the platform stayed silent for that long.
    """
    platform = context.ports.platform
    return _wait(context, service, lambda: find(platform, service, deployment), lambda one: one.changed != since)


def _wait(
    context: Context, service: str, look: Callable[[], Deployment], is_it: Callable[[Deployment], bool]
) -> Deployment:
    limit = context.environment.platform.deploy_timeout
    began = time.monotonic()
    said = ""
    while time.monotonic() - began < limit:
        try:
            latest = look()
        except Unreachable as error:
            said = error.what
        else:
            said = f"{latest.status} after {time.monotonic() - began:.0f} s"
            if is_it(latest) and latest.state != "pending":
                return latest
        context.progress(f"{service}: {said}", Evidence())
        context.pause(min(context.look_every, 1.0))
    raise Unreachable(
        f"{service} was not ready within {limit:.0f} s; last word: {said}",
        where="platform",
        mend="look at the platform's own page, then `deploykit resume`",
    )


def last_words(context: Context, deployment: str) -> str:
    """The last lines that a deployment wrote, for a reader; where they cannot be had, why."""
    try:
        lines = context.ports.platform.logs(deployment)
    except ProviderError as error:
        return f"its log cannot be had: {error.what}\n"
    return "\n".join(lines) + "\n" if lines else "its log is empty\n"
