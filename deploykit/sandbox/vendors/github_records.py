"""How GitHub shows what hangs on a commit: statuses, check runs, alerts, deployments, releases; and issues."""

from typing import Any

from deploykit.sandbox.vendors.github_shapes import BORN, View, Views

#: From good to bad; the worst word of a commit's statuses is what GitHub says of all of them.
WORDS = ("success", "pending", "failure")


def status(views: Views, sha: str, index: int) -> View:
    """A commit status."""
    known = views.world["statuses"][sha][index]
    return {
        "url": f"{views.base}/statuses/{sha}",
        "avatar_url": None,
        "id": index + 1,
        "node_id": f"SC_{index}",
        "state": known["state"],
        "description": known.get("description"),
        "target_url": known.get("url", f"{views.web}/actions"),
        "context": known["context"],
        "created_at": known.get("date", BORN),
        "updated_at": known.get("date", BORN),
    }


def combined(views: Views, sha: str, statuses: list[View]) -> View:
    """The combined status; of a commit without statuses it is pending. Args: `statuses` are those of one page."""
    known = [("failure" if s["state"] == "error" else s["state"]) for s in views.world["statuses"].get(sha, [])]
    url = f"{views.base}/commits/{sha}"
    return {
        "state": max(known, key=WORDS.index, default="pending"),
        "statuses": statuses,
        "sha": sha,
        "total_count": len(known),
        "repository": views.repository(),
        "commit_url": url,
        "url": f"{url}/status",
    }


def run(views: Views, sha: str, index: int) -> View:
    """A check run; without a conclusion it has not ended."""
    known, identity = views.world["runs"][sha][index], index + 1
    ended, page = known.get("conclusion"), f"{views.web}/runs/{identity}"
    date = known.get("date", BORN)
    return {
        "id": identity,
        "name": known["name"],
        "node_id": f"CR_{identity}",
        "head_sha": sha,
        "external_id": "",
        "url": f"{views.base}/check-runs/{identity}",
        "html_url": page,
        "details_url": page,
        "status": known.get("status", "completed" if ended else "in_progress"),
        "conclusion": ended,
        "started_at": date,
        "completed_at": date if ended else None,
        "output": {
            "title": None,
            "summary": None,
            "text": None,
            "annotations_count": 0,
            "annotations_url": f"{views.base}/check-runs/{identity}/annotations",
        },
        "check_suite": {"id": 1},
        "app": None,
        "pull_requests": [],
    }


def alert(views: Views, scanner: str, index: int) -> View:
    """An alert of a scanner, with what is common to all of them."""
    known, number = views.world["alerts"][scanner][index], index + 1
    url = f"{views.base}/{scanner}/alerts/{number}"
    common = {
        "number": number,
        "created_at": BORN,
        "updated_at": BORN,
        "url": url,
        "html_url": f"{views.web}/security/{scanner}/{number}",
        "state": known.get("state", "open"),
    }
    shown = {"code-scanning": code_alert, "dependabot": package_alert, "secret-scanning": secret_alert}[scanner]
    return {**common, **shown(known, url)}


def code_alert(known: View, url: str) -> View:
    """What code scanning says."""
    return {
        "instances_url": f"{url}/instances",
        "fixed_at": None,
        "dismissed_by": None,
        "dismissed_at": None,
        "dismissed_reason": None,
        "rule": {
            "id": known.get("rule", "py/sql-injection"),
            "name": known.get("rule", "py/sql-injection"),
            "severity": known.get("rule_severity", "error"),
            "security_severity_level": known.get("severity"),
            "description": known.get("title", "SQL query built from what a user sent"),
        },
        "tool": {"name": "CodeQL", "guid": None, "version": "2.20.0"},
        "most_recent_instance": {
            "ref": known.get("ref", "refs/heads/main"),
            "analysis_key": ".github/workflows/codeql.yml:analyze",
            "environment": "{}",
            "state": known.get("state", "open"),
            "location": {"path": "shop/app.py", "start_line": 7, "end_line": 7, "start_column": 1, "end_column": 9},
            "classifications": [],
        },
    }


def package_alert(known: View, _: str) -> View:
    """What Dependabot says."""
    package = {"ecosystem": "pip", "name": known.get("package", "leftpad")}
    severity = known.get("severity", "low")
    vulnerable = {
        "package": package,
        "severity": severity,
        "vulnerable_version_range": "< 2.0.0",
        "first_patched_version": {"identifier": "2.0.0"},
    }
    return {
        "dependency": {"package": package, "manifest_path": "requirements.txt", "scope": "runtime"},
        "security_advisory": {
            "ghsa_id": "GHSA-0000-0000-0000",
            "cve_id": None,
            "summary": known.get("title", "Reads past the end"),
            "description": "Reads past the end.",
            "vulnerabilities": [vulnerable],
            "severity": severity,
            "cvss": {"score": 5.0, "vector_string": None},
            "cwes": [],
            "identifiers": [{"type": "GHSA", "value": "GHSA-0000-0000-0000"}],
            "references": [],
            "published_at": BORN,
            "updated_at": BORN,
            "withdrawn_at": None,
        },
        "security_vulnerability": vulnerable,
        "dismissed_at": None,
        "dismissed_by": None,
        "dismissed_reason": None,
        "dismissed_comment": None,
        "fixed_at": None,
    }


def secret_alert(known: View, url: str) -> View:
    """What secret scanning says."""
    return {
        "locations_url": f"{url}/locations",
        "resolution": None,
        "resolved_at": None,
        "resolved_by": None,
        "secret_type": "mailchimp_api_key",
        "secret_type_display_name": known.get("title", "Mailchimp API key"),
        "secret": known.get("secret", "a-secret-that-leaked"),
        "validity": "unknown",
    }


def deployment(views: Views, index: int) -> View:
    """A deployment."""
    known, identity = views.world["deployments"][index], index + 1
    url = f"{views.base}/deployments/{identity}"
    return {
        "url": url,
        "id": identity,
        "node_id": f"DE_{identity}",
        **{key: known[key] for key in ("sha", "ref", "task", "payload", "environment", "description")},
        "original_environment": known["environment"],
        "production_environment": known["environment"] == "production",
        "transient_environment": False,
        "creator": views.person("shop-bot[bot]"),
        "created_at": known["date"],
        "updated_at": known["date"],
        "statuses_url": f"{url}/statuses",
        "repository_url": views.base,
    }


def deployment_status(views: Views, index: int, number: int) -> View:
    """A status of a deployment."""
    known, identity = views.world["deployments"][index]["statuses"][number], (index + 1) * 1000 + number + 1
    url, link = f"{views.base}/deployments/{index + 1}", known.get("log_url") or known.get("target_url") or views.web
    return {
        "url": f"{url}/statuses/{identity}",
        "id": identity,
        "node_id": f"DS_{identity}",
        "state": known["state"],
        "creator": views.person("shop-bot[bot]"),
        "description": known["description"],
        "environment": known["environment"],
        "target_url": link,
        "log_url": link,
        "environment_url": known.get("environment_url") or views.web,
        "created_at": known["date"],
        "updated_at": known["date"],
        "deployment_url": url,
        "repository_url": views.base,
    }


def release(views: Views, index: int) -> View:
    """A release."""
    known, url = views.world["releases"][index], f"{views.base}/releases/{index + 1}"
    tag: Any = known["tag"]
    return {
        "url": url,
        "html_url": f"{views.web}/releases/tag/{tag}",
        "assets_url": f"{url}/assets",
        "upload_url": f"{url}/assets{{?name,label}}",
        "tarball_url": f"{views.base}/tarball/{tag}",
        "zipball_url": f"{views.base}/zipball/{tag}",
        "id": index + 1,
        "node_id": f"RE_{index + 1}",
        "tag_name": tag,
        "target_commitish": known.get("target", views.world["branch"]),
        "name": known["name"],
        "body": known["body"],
        "draft": known.get("draft", False),
        "prerelease": known.get("prerelease", False),
        "created_at": known["date"],
        "published_at": None if known.get("draft") else known["date"],
        "author": views.person("dana"),
        "assets": [],
    }


def issue(views: Views, index: int) -> View:
    """An issue; issues and pull requests share their numbers."""
    known, number = views.world["issues"][index], len(views.world["pulls"]) + index + 1
    url = f"{views.base}/issues/{number}"
    return {
        "id": 5000 + number,
        "node_id": f"I_{number}",
        "url": url,
        "repository_url": views.base,
        "labels_url": f"{url}/labels{{/name}}",
        "comments_url": f"{url}/comments",
        "events_url": f"{url}/events",
        "html_url": f"{views.web}/issues/{number}",
        "number": number,
        "state": "open",
        "title": known["title"],
        "body": known["body"],
        "user": views.person("shop-bot[bot]"),
        "labels": known["labels"],
        "assignee": None,
        "assignees": [],
        "milestone": None,
        "locked": False,
        "comments": 0,
        "closed_at": None,
        "created_at": known["date"],
        "updated_at": known["date"],
        "author_association": "NONE",
    }
