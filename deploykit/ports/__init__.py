"""What deploykit needs from the outside, by capability.

Checks, actions and the analysis know these and never a vendor. Every method may raise `errors.Unreachable` (no answer,
or not in time: whether a change happened is not known) and `errors.Rejected` (an answer that says no: nothing changed).
"""

from deploykit.ports.database import Database
from deploykit.ports.people import Chat, Incident, Message, OnCall, Pager
from deploykit.ports.platform import Deployment, Platform, Router, Weights, as_json
from deploykit.ports.repository import (
    Alert,
    Change,
    Comparison,
    PullRequest,
    Recorded,
    Repository,
    Review,
    Scan,
    Test,
    Thread,
)
from deploykit.ports.service import Answered, Certificate, Flags, Http, Tls
from deploykit.ports.watching import (
    ErrorProject,
    Errors,
    Events,
    Issue,
    LogLine,
    Logs,
    Metrics,
    Monitor,
    Monitors,
    Mute,
    RecordedDeploy,
)

__all__ = [
    "Alert",
    "Answered",
    "Certificate",
    "Change",
    "Chat",
    "Comparison",
    "Database",
    "Deployment",
    "ErrorProject",
    "Errors",
    "Events",
    "Flags",
    "Http",
    "Incident",
    "Issue",
    "LogLine",
    "Logs",
    "Message",
    "Metrics",
    "Monitor",
    "Monitors",
    "Mute",
    "OnCall",
    "Pager",
    "Platform",
    "PullRequest",
    "Recorded",
    "RecordedDeploy",
    "Repository",
    "Review",
    "Router",
    "Scan",
    "Test",
    "Thread",
    "Tls",
    "Weights",
    "as_json",
]
