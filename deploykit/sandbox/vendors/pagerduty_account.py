"""What a PagerDuty account holds here: users, a policy with two schedules, a service and its incidents."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from deploykit.sandbox.addresses import PAGERDUTY_FROM, PAGERDUTY_POLICY, PAGERDUTY_SERVICE
from deploykit.sandbox.vendors.limits import Limit

Fields = dict[str, Any]
PAGE = "https://acme.pagerduty.com"
API = "https://api.pagerduty.com"
BORN = datetime(2024, 1, 8, 9, 0, tzinfo=UTC)
#: How long one person is on call.
TURN = timedelta(hours=12)
ROTATIONS = {
    "PPRIMAR": (1, "Primary", ("PINES01", "POTTO01")),
    "PSECOND": (2, "Secondary", ("PMARA01", "PINES01")),
}
PEOPLE = {"PINES01": "Ines", "POTTO01": "Otto", "PMARA01": "Mara", "PDEPLOY": "Deploykit"}


def stamp(at: datetime) -> str:
    """A time as PagerDuty writes it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def reference(kind: str, identifier: str, summary: str) -> Fields:
    """A reference to an object."""
    plural = {"escalation_policy": "escalation_policies"}.get(kind, f"{kind}s")
    place = f"{plural}/{identifier}"
    known = {"id": identifier, "type": f"{kind}_reference", "summary": summary, "self": f"{API}/{place}"}
    return {**known, "html_url": f"{PAGE}/{plural if plural != 'services' else 'service-directory'}/{identifier}"}


POLICY = reference("escalation_policy", PAGERDUTY_POLICY, "Shop")
SERVICE = reference("service", PAGERDUTY_SERVICE, "shop")


class Account:
    """One account."""

    def __init__(self) -> None:
        self.put({})

    def put(self, differences: Mapping[str, Any]) -> None:
        """As at the start, but for these differences.

        Args:
            differences: `oncalls`, each with `user`, `level`, and `start` and `end` in seconds from now or null;
                `users` by id: null for one that is deleted, else what is different; `limit` of requests a minute.
        """
        self.users = {identifier: user(identifier, name) for identifier, name in PEOPLE.items()}
        for identifier, changes in differences.get("users", {}).items():
            if changes is None:
                self.users.pop(identifier, None)
            else:
                self.users.setdefault(identifier, user(identifier, identifier)).update(changes)
        now = datetime.now(UTC)
        self.fixed: list[Fields] | None = None
        if "oncalls" in differences:
            ends = ("start", "end")
            self.fixed = [
                {**shift, **{k: None if shift.get(k) is None else now + timedelta(seconds=shift[k]) for k in ends}}
                for shift in differences["oncalls"]
            ]
        self.incidents: list[Fields] = []
        #: What an incident's opener wrote, which a list of incidents does not show.
        self.bodies: dict[str, str] = {}
        self.changes: list[Fields] = []
        self.limit = Limit(int(differences.get("limit", 960)), 60.0)

    def shifts(self, start: datetime, end: datetime) -> Iterator[Fields]:
        """Who is on call in a span of time: user, level, schedule, start and end, by level and start."""
        if self.fixed is not None:
            for shift in sorted(self.fixed, key=lambda s: int(s["level"])):
                if (shift["start"] is None or shift["start"] < end) and (shift["end"] is None or shift["end"] > start):
                    yield {"schedule": None if shift["start"] is None else "PPRIMAR", **shift}
            return
        for schedule, (level, _, people) in ROTATIONS.items():
            turn = (start - BORN) // TURN
            while BORN + turn * TURN < end or BORN + turn * TURN <= start:
                begin = BORN + turn * TURN
                shift = {"level": level, "user": people[turn % len(people)], "schedule": schedule}
                yield {**shift, "start": begin, "end": begin + TURN}
                turn += 1

    def person(self, identifier: str) -> Fields:
        """A reference to a user; what is left of one that is deleted is a name."""
        known = self.users.get(identifier)
        return reference("user", identifier, known["name"] if known else f"{identifier} (deleted)")

    def open_incident(self, title: str, key: str | None, details: str, urgency: str = "high") -> Fields | None:
        """A new incident, assigned to who is on call; None where one with this key is open."""
        key = key or uuid4().hex
        if any(known["incident_key"] == key and known["status"] != "resolved" for known in self.incidents):
            return None
        now = datetime.now(UTC)
        number = len(self.incidents) + 1
        identifier = f"Q{number:013d}"
        called = [shift["user"] for shift in self.shifts(now, now) if shift["level"] == 1]
        log_entry = reference("log_entry", f"R{number:025d}", "Triggered through the website.")
        incident = {
            "id": identifier,
            "type": "incident",
            "summary": f"[#{number}] {title}",
            "self": f"{API}/incidents/{identifier}",
            "html_url": f"{PAGE}/incidents/{identifier}",
            "incident_number": number,
            "title": title,
            "created_at": stamp(now),
            "updated_at": stamp(now),
            "status": "triggered",
            "incident_key": key,
            "service": SERVICE,
            "escalation_policy": POLICY,
            "assignments": [{"at": stamp(now), "assignee": self.person(one)} for one in called],
            "assigned_via": "escalation_policy",
            "last_status_change_at": stamp(now),
            "last_status_change_by": SERVICE,
            "first_trigger_log_entry": {**log_entry, "type": "trigger_log_entry_reference"},
            "alert_counts": {"all": 0, "triggered": 0, "resolved": 0},
            "is_mergeable": True,
            "incident_type": {"name": "incident_default"},
            "teams": [],
            "pending_actions": [],
            "acknowledgements": [],
            "urgency": urgency,
        }
        self.incidents.append(incident)
        self.bodies[identifier] = details
        return incident

    def move(self, key: str, status: str) -> None:
        """Acknowledges or resolves the open incident of a key."""
        for incident in self.incidents:
            if incident["incident_key"] == key and incident["status"] != "resolved":
                now = stamp(datetime.now(UTC))
                incident.update(status=status, updated_at=now, last_status_change_at=now)
                if status == "resolved":
                    incident["resolved_at"] = now


def user(identifier: str, name: str) -> Fields:
    """A user with an address and a telephone."""
    methods = [reference("contact_method", f"{identifier}{kind[0].upper()}", name) for kind in ("email", "phone")]
    for method, kind in zip(methods, ("email", "phone"), strict=True):
        method["type"] = f"{kind}_contact_method_reference"
    mail = PAGERDUTY_FROM if name == "Deploykit" else f"{name.lower()}@sandbox.example"
    rule = reference("notification_rule", f"{identifier}R", "0 minutes: channel P")
    return {
        **reference("user", identifier, name),
        "type": "user",
        "name": name,
        "email": mail,
        "time_zone": "Europe/Berlin",
        "color": "green",
        "role": "user",
        "avatar_url": f"{PAGE}/avatars/{identifier}.png",
        "description": None,
        "invitation_sent": False,
        "job_title": "Engineer",
        "teams": [],
        "contact_methods": methods,
        "notification_rules": [{**rule, "type": "assignment_notification_rule_reference"}],
    }
