"""How GitHub shows the repository, its people, commits and pull requests."""

import zlib
from typing import Any
from urllib.parse import quote

from deploykit.sandbox.vendors.github_world import World

View = dict[str, Any]

WEB = "https://github.com"
BORN = "2024-01-08T09:00:00Z"
OWNER_LINKS = ("followers", "following", "gists", "starred", "subscriptions", "organizations", "repos", "events")
REPOSITORY_LINKS = (
    "archive", "assignees", "blobs", "branches", "collaborators", "comments", "commits", "compare", "contents",
    "contributors", "deployments", "downloads", "events", "forks", "git_commits", "git_refs", "git_tags", "git",
    "hooks", "issue_comment", "issue_events", "issues", "keys", "labels", "languages", "merges", "milestones",
    "notifications", "pulls", "releases", "ssh", "stargazers", "statuses", "subscribers", "subscription", "svn",
    "tags", "teams", "trees", "clone",
)  # fmt: skip
COUNTS = ("forks", "forks_count", "stargazers_count", "watchers", "watchers_count", "size", "open_issues_count")
FLAGS = ("has_projects", "has_wiki", "has_pages", "has_downloads", "archived", "disabled", "fork")


class Views:
    """Shows a world to one client, which follows links: they lead to the address that it used.

    Args:
        world: What there is.
        api: The address.
    """

    def __init__(self, world: World, api: str) -> None:
        self.world = world
        named = world["repository"]
        self.name = f"{named['owner']}/{named['name']}"
        self.api, self.base, self.web = api, f"{api}/repos/{self.name}", f"{WEB}/{self.name}"

    def person(self, login: str | None) -> View | None:
        """A user; None for one whose account is gone."""
        if not login:
            return None
        known = self.world["people"].get(login, {})
        number = known.get("id") or zlib.crc32(login.encode())
        url, page = f"{self.api}/users/{quote(login)}", f"{WEB}/{quote(login)}"
        return {
            "login": login,
            "id": number,
            "node_id": f"U_{number}",
            "avatar_url": f"{page}.png",
            "gravatar_id": "",
            "url": url,
            "html_url": page,
            **{f"{link}_url": f"{url}/{link}" for link in OWNER_LINKS},
            "received_events_url": f"{url}/received_events",
            "type": known.get("type", "User"),
            "site_admin": False,
        }

    def association(self, login: str | None) -> str:
        """What somebody is to the repository."""
        return str(self.world["people"].get(login, {}).get("association", "NONE"))

    def repository(self) -> View:
        """The repository as it stands in a pull request."""
        owner, _, name = self.name.partition("/")
        return {
            "id": 1,
            "node_id": "R_1",
            "name": name,
            "full_name": self.name,
            "private": True,
            "owner": self.person(owner),
            "html_url": self.web,
            "url": self.base,
            **{f"{link}_url": f"{self.base}/{link}" for link in REPOSITORY_LINKS},
            **dict.fromkeys(COUNTS, 0),
            **dict.fromkeys(FLAGS, False),
            "has_issues": True,
            "has_discussions": False,
            "open_issues": 0,
            "description": "The shop",
            "homepage": None,
            "language": "Python",
            "license": None,
            "mirror_url": None,
            "pushed_at": BORN,
            "created_at": BORN,
            "updated_at": BORN,
            "default_branch": self.world["branch"],
        }

    def full_repository(self) -> View:
        """The repository by itself."""
        return {**self.repository(), "subscribers_count": 0, "network_count": 0}

    def commit(self, sha: str, *, whole: bool = False) -> View:
        """A commit; `whole` with what it changed, as only the endpoint of one commit has it."""
        known, url = self.world["commits"][sha], f"{self.base}/commits/{sha}"
        login, signature = self.signature(known)
        unsigned = {"verified": False, "reason": "unsigned", "signature": None, "payload": None, "verified_at": None}
        signed = {**unsigned, "verified": True, "reason": "valid"}
        changed = {"stats": {"total": 0, "additions": 0, "deletions": 0}, "files": []} if whole else {}
        committer = known.get("committer", login)
        return {
            "sha": sha,
            "node_id": f"C_{sha[:8]}",
            "url": url,
            "html_url": f"{self.web}/commit/{sha}",
            "comments_url": f"{url}/comments",
            "commit": {
                "author": signature,
                "committer": signature,
                "message": known["message"],
                "tree": {"sha": sha[::-1], "url": f"{self.base}/git/trees/{sha[::-1]}"},
                "url": f"{self.base}/git/commits/{sha}",
                "comment_count": 0,
                "verification": signed if known.get("verified") else unsigned,
            },
            "author": self.person(login),
            "committer": self.person(committer),
            "parents": [{"sha": p, "url": f"{self.base}/commits/{p}"} for p in known.get("parents", [])],
            **changed,
        }

    def signature(self, known: View) -> tuple[str | None, View]:
        """An author's login, and their name and address as git has them; without an account there is no login."""
        who = known.get("author")
        if isinstance(who, dict):
            return None, {**who, "date": known["date"]}
        name = self.world["people"].get(who, {}).get("name", who)
        return who, {"name": name, "email": f"{who}@example.com", "date": known["date"]}

    def pull(self, number: str) -> View:
        """A pull request in a list."""
        known = self.world["pulls"][number]
        url, page, issue = f"{self.base}/pulls/{number}", f"{self.web}/pull/{number}", f"{self.base}/issues/{number}"
        state, done = known["state"], known["date"] if known["state"] != "open" else None
        links = {
            "commits": f"{url}/commits",
            "review_comments": f"{url}/comments",
            "review_comment": f"{self.base}/pulls/comments{{/number}}",
            "comments": f"{issue}/comments",
            "statuses": f"{self.base}/statuses/{known['head']}",
        }
        own = {"self": url, "html": page, "issue": issue}
        return {
            "id": 1000 + int(number),
            "node_id": f"PR_{number}",
            "number": int(number),
            "url": url,
            "html_url": page,
            "diff_url": f"{page}.diff",
            "patch_url": f"{page}.patch",
            "issue_url": issue,
            **{f"{name}_url": link for name, link in links.items()},
            "_links": {name: {"href": link} for name, link in {**links, **own}.items()},
            "state": "open" if state == "open" else "closed",
            "locked": False,
            "draft": known.get("draft", False),
            "title": known["title"],
            "user": self.person(known["author"]),
            "body": None,
            "labels": [],
            "milestone": None,
            "created_at": known["date"],
            "updated_at": known["date"],
            "closed_at": done,
            "merged_at": done if state == "merged" else None,
            "merge_commit_sha": known["commits"][-1] if known["commits"] else None,
            "assignee": None,
            "assignees": [],
            "requested_reviewers": [],
            "requested_teams": [],
            "head": self.side(f"change-{number}", known["head"]),
            "base": self.side(known["base"], self.world["refs"][f"heads/{self.world['branch']}"]),
            "author_association": self.association(known["author"]),
            "auto_merge": None,
        }

    def side(self, branch: str, sha: str) -> View:
        """One end of a pull request."""
        owner = self.name.partition("/")[0]
        repository = self.repository()
        return {"label": f"{owner}:{branch}", "ref": branch, "sha": sha, "user": self.person(owner), "repo": repository}

    def whole_pull(self, number: str) -> View:
        """A pull request by itself. Whether it can be merged is worked out when somebody asks, and known later."""
        known = self.world["pulls"][number]
        mergeable, merged = known.get("mergeable"), known["state"] == "merged"
        if known.get("asks", 0) > 0:
            known["asks"] -= 1
            mergeable = None
        words = {True: "clean", False: "dirty", None: "unknown"}
        return {
            **self.pull(number),
            "merged": merged,
            "mergeable": None if merged else mergeable,
            "mergeable_state": words[None if merged else mergeable],
            "rebaseable": None if merged else mergeable,
            "merged_by": self.person(known["author"]) if merged else None,
            "comments": 0,
            "review_comments": len(known["threads"]),
            "maintainer_can_modify": False,
            "commits": len(known["commits"]),
            "additions": 1,
            "deletions": 0,
            "changed_files": 1,
        }

    def review(self, number: str, index: int) -> View:
        """A review of a pull request."""
        known, pull = self.world["pulls"][number]["reviews"][index], f"{self.base}/pulls/{number}"
        page = f"{self.web}/pull/{number}#pullrequestreview-{index + 1}"
        return {
            "id": int(number) * 1000 + index + 1,
            "node_id": f"PRR_{number}_{index}",
            "user": self.person(known["author"]),
            "body": known.get("body", ""),
            "state": known["state"],
            "html_url": page,
            "pull_request_url": pull,
            "author_association": known.get("association") or self.association(known["author"]),
            "_links": {"html": {"href": page}, "pull_request": {"href": pull}},
            "submitted_at": known.get("date", BORN),
            "commit_id": known["commit"],
        }

    def comment(self, number: str, index: int) -> View:
        """The comment that began a review thread."""
        pull = self.world["pulls"][number]
        known, identity = pull["threads"][index], int(number) * 1000 + index + 1
        url, page = f"{self.base}/pulls/comments/{identity}", f"{self.web}/pull/{number}#discussion_r{identity}"
        ends = {"self": url, "html": page, "pull_request": f"{self.base}/pulls/{number}"}
        return {
            "url": url,
            "pull_request_review_id": int(number) * 1000 + 1,
            "id": identity,
            "node_id": f"PRRC_{identity}",
            "diff_hunk": "@@ -1 +1 @@",
            "path": known["path"],
            "commit_id": pull["head"],
            "original_commit_id": pull["head"],
            "user": self.person(known["author"]),
            "body": known["body"],
            "created_at": pull["date"],
            "updated_at": pull["date"],
            "html_url": page,
            "pull_request_url": ends["pull_request"],
            "author_association": self.association(known["author"]),
            "_links": {name: {"href": link} for name, link in ends.items()},
        }
