"""What Sentry's objects look like, as its API documentation describes them: everything that it always sends."""

from typing import Any

from deploykit.sandbox.addresses import SENTRY_ORGANIZATION, SENTRY_PROJECT, SENTRY_PROJECT_ID, SENTRY_PUBLIC_KEY

Fields = dict[str, Any]
BORN = "2024-01-08T09:00:00Z"
PAGE = f"https://{SENTRY_ORGANIZATION}.sentry.io"
_HAS = (
    "Access", "Feedbacks", "Flags", "InsightsAgentMonitoring", "InsightsAppStart", "InsightsAssets", "InsightsCaches",
    "InsightsDb", "InsightsHttp", "InsightsMCP", "InsightsQueues", "InsightsScreenLoad", "InsightsVitals", "Logs",
    "MinifiedStackTrace", "Monitors", "NewFeedbacks", "Profiles", "Replays", "Sessions", "TraceMetrics",
)  # fmt: skip
_DSN = (
    "csp", "security", "minidump", "nel", "unreal", "crons", "cdn", "playstation", "integration", "otlp_traces",
    "otlp_logs",
)  # fmt: skip
_NO = (
    "isBookmarked", "isInternal", "isPublic", "firstTransactionEvent", "verifySSL", "scrapeJavaScript",
    "isDynamicallySampled", "tempestFetchScreenshots", "seerScannerAutomation", "scmSourceContextEnabled",
)  # fmt: skip
_NOTHING = (
    "latestRelease", "storeCrashReports", "securityTokenHeader", "secondaryGroupingConfig", "defaultEnvironment",
    "relayPiiConfig", "dynamicSamplingBiases", "seerNightshiftTweaks", "debugFilesRole",
)  # fmt: skip


def organization() -> Fields:
    """The organisation."""
    flags = ("isEarlyAdopter", "require2FA", "hasAuthProvider", "allowSuperuserAccess")
    return {
        "id": "1",
        "slug": SENTRY_ORGANIZATION,
        "name": SENTRY_ORGANIZATION.title(),
        "status": {"id": "active", "name": "active"},
        "dateCreated": BORN,
        "avatar": {"avatarType": "letter_avatar", "avatarUuid": None, "avatarUrl": None},
        "links": {"organizationUrl": PAGE, "regionUrl": "https://us.sentry.io"},
        "features": [],
        **dict.fromkeys(flags, False),
        "allowMemberInvite": True,
        "allowMemberProjectCreation": True,
    }


def project() -> Fields:
    """The project, in full."""
    team = {"id": "2", "name": "shop", "slug": "shop"}
    return {
        "id": str(SENTRY_PROJECT_ID),
        "slug": SENTRY_PROJECT,
        "name": SENTRY_PROJECT,
        "platform": "python",
        "dateCreated": BORN,
        "firstEvent": BORN,
        "status": "active",
        "color": "#3fbf7f",
        "avatar": {"avatarType": "letter_avatar", "avatarUuid": None},
        "organization": organization(),
        "team": team,
        "teams": [team],
        "platforms": ["python"],
        **{f"has{name}": name in {"Access", "Sessions"} for name in _HAS},
        **dict.fromkeys(_NO, False),
        **dict.fromkeys(_NOTHING),
        **dict.fromkeys(("isMember", "dataScrubber", "dataScrubberDefaults", "enableAutoReleaseCreation"), True),
        "scrubIPAddresses": False,
        **{name: [] for name in ("features", "allowedDomains", "safeFields", "sensitiveFields", "highlightTags")},
        "access": ["project:read", "event:read", "project:releases"],
        "options": {},
        **dict.fromkeys(("resolveAge", "processingIssues", "secondaryGroupingExpiry"), 0),
        "digestsMinDelay": 300,
        "digestsMaxDelay": 1800,
        "subjectPrefix": "",
        "subjectTemplate": "$shortID - $title",
        "securityToken": "0" * 32,
        "highlightContext": {},
        "highlightPreset": {"tags": [], "context": {}},
        "groupingConfig": "newstyle:2023-01-11",
        **dict.fromkeys(("derivedGroupingEnhancements", "groupingEnhancements", "fingerprintingRules"), ""),
        "builtinSymbolSources": [],
        "symbolSources": "[]",
        "autofixAutomationTuning": "off",
    }


def key(host: str, number: int, *, active: bool) -> Fields:
    """A client key with its addresses; the first is the one that the shop sends with."""
    public = SENTRY_PUBLIC_KEY if number == 0 else f"{number:032x}"
    base = f"http://{host}/api/{SENTRY_PROJECT_ID}"
    dsn = {name: f"{base}/{name}/?sentry_key={public}" for name in _DSN}
    loader = ("hasReplay", "hasPerformance", "hasDebug", "hasFeedback", "hasLogsAndMetrics")
    return {
        "id": public,
        "name": "Default",
        "label": "Default",
        "public": public,
        "secret": "0" * 32,
        "projectId": SENTRY_PROJECT_ID,
        "isActive": active,
        "rateLimit": None,
        "dsn": {
            **dsn,
            "public": f"http://{public}@{host}/{SENTRY_PROJECT_ID}",
            "secret": f"http://{public}:{'0' * 32}@{host}/{SENTRY_PROJECT_ID}",
        },
        "browserSdkVersion": "10.x",
        "browserSdk": {"choices": [["latest", "latest"], ["10.x", "10.x"]]},
        "dateCreated": BORN,
        "dynamicSdkLoaderOptions": dict.fromkeys(loader, False),
    }


def release(version: str, number: int, born: str, deploys: list[Fields], given: Fields) -> Fields:
    """A release with its last deploy."""
    last = max(deploys, key=lambda deploy: str(deploy["dateFinished"]), default=None)
    shown = last and {**last, "name": last["name"] or "", "dateStarted": last["dateStarted"]}
    in_project = {"id": SENTRY_PROJECT_ID, "slug": SENTRY_PROJECT, "name": SENTRY_PROJECT, "newGroups": 0}
    return {
        "id": number,
        "version": version,
        "shortVersion": version,
        "status": "open",
        "ref": given.get("ref"),
        "url": given.get("url"),
        "dateReleased": given.get("dateReleased"),
        "dateCreated": born,
        "owner": None,
        "lastCommit": None,
        "lastDeploy": shown,
        "firstEvent": None,
        "lastEvent": None,
        "newGroups": 0,
        "data": {},
        "commitCount": 0,
        "deployCount": len(deploys),
        "authors": [],
        "versionInfo": {
            "package": None,
            "version": {"raw": version},
            "description": version,
            "buildHash": None,
        },
        "projects": [
            {**in_project, "platform": "python", "platforms": ["python"], "hasHealthData": True}
            for slug in given.get("projects", [SENTRY_PROJECT])
            if slug in {SENTRY_PROJECT, SENTRY_PROJECT_ID, str(SENTRY_PROJECT_ID)}
        ],
        "currentProjectMeta": {},
    }


def issue(number: int, known: Fields) -> Fields:
    """An issue of the project, from what is known of it."""
    title = known["title"]
    seen = {"firstSeen": known["firstSeen"], "lastSeen": known["lastSeen"]}
    counts = {"count": str(known["count"]), "userCount": known["users"], "stats": {}}
    flags = ("isBookmarked", "isSubscribed", "hasSeen", "isPublic", "latestEventHasAttachments")
    nothing = (
        "shareId", "logger", "priorityLockedAt", "seerFixabilityScore", "seerAutofixLastTriggered",
        "seerExplorerAutofixLastTriggered", "assignedTo", "subscriptionDetails", "filtered", "matchingEventId",
        "matchingEventEnvironment",
    )  # fmt: skip
    steps = ("blocker", "progress", "status", "lastCompletedAutofixStep")
    return {
        **dict.fromkeys(nothing),
        **dict.fromkeys(flags, False),
        "id": str(number),
        "shortId": f"SHOP-{number}",
        "title": title,
        "culprit": known["culprit"],
        "permalink": f"{PAGE}/issues/{number}/",
        "level": known["level"],
        "status": known["status"],
        "statusDetails": {},
        "substatus": "new" if known["status"] == "unresolved" else None,
        "platform": "python",
        "priority": "high" if known["level"] in {"error", "fatal"} else "low",
        "project": {"id": str(SENTRY_PROJECT_ID), "name": SENTRY_PROJECT, "slug": SENTRY_PROJECT, "platform": "python"},
        "type": "error",
        "issueType": "error",
        "issueCategory": "error",
        "metadata": {"type": title.partition(":")[0], "value": title.partition(":")[2].strip()},
        "numComments": 0,
        "annotations": [],
        "isUnhandled": known["level"] == "fatal",
        **counts,
        **seen,
        "lifetime": {**counts, **seen},
        "derivedData": {
            **dict.fromkeys(steps, "none"),
            "viewCount": 0,
            **dict.fromkeys(("hasOpenFixPr", "isAssigned", "hasRootCause"), False),
            "lastProgressedAt": None,
        },
        "sessionCount": 0,
        "inbox": {"reason": 0, "reason_details": None, "date_added": known["firstSeen"]},
        "owners": {"type": "ownershipRule", "owner": "team:2", "date_added": known["firstSeen"]},
        "integrationIssues": [],
        "sentryAppIssues": [],
    }
