"""A real Chromium: what a person sees of a run, while it goes on and when it is archived."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from deploykit.errors import Exit
from tests.e2e.conftest import ROOT, Archived, Project, until

pytestmark = [pytest.mark.sandbox, pytest.mark.browser]
#: Kept for whoever wants to look.
PICTURES = ROOT / "artifacts"
PATIENCE_MS = 90_000
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium_path, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 1600})
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    opened = context.new_page()
    yield opened
    keep(opened, f"last-{request.node.name}")
    context.close()


def keep(page: Page, name: str) -> None:
    PICTURES.mkdir(exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


@contextmanager
def jupyter(command: list[str], environment: dict[str, str], cwd: Path) -> Iterator[str]:
    """Start a Jupyter server, and yield its address with the token."""
    with subprocess.Popen(command, env=environment, cwd=cwd, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            address = next(
                m[0] for line in server.stderr if (m := re.search(r"http://127\.0\.0\.1:\S+token=\w+", line))
            )
            until(lambda: listens(address), "Jupyter to listen, which it does a moment after it says so")
            yield address
        finally:
            server.terminate()
            try:
                server.communicate(timeout=20)
            except subprocess.TimeoutExpired:  # it closed everything, and waits for a thread of its own for ever
                server.kill()


def listens(address: str) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", httpx.URL(address).port or 80)) == 0


def open_notebook(page: Page, address: str) -> None:
    """Open JupyterLab, and wait until the kernel listens."""
    page.goto(address)
    expect(page.locator(".jp-CodeCell").first).to_be_visible()
    expect(page.get_by_text(re.compile(r"\| Idle"))).to_be_visible()


def run_cell(page: Page, text: str) -> Locator:
    """Run the cell that holds a text, and return it."""
    cell = page.locator(".jp-CodeCell", has=page.locator(".cm-content", has_text=text)).first
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    return cell


def items(notebook: dict[str, Any]) -> list[tuple[str, str]]:
    """Each item with its outcome, in the order of the page."""
    kind = "application/vnd.deploykit.item+json"
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    shown = [output["data"][kind] for output in outputs if kind in output.get("data", {})]
    return [(item["item"], item["outcome"]) for item in shown]


def pictures(notebook: dict[str, Any]) -> int:
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def test_stepped_through_the_archive_shows_the_same_as_headless(
    project: Project, page: Page, archived: Archived
) -> None:
    run = project.plan("v1.5.0")
    command = [*project.command, "lab", run, "--no-browser"]
    with jupyter(command, project.environment, project.home) as address:
        open_notebook(page, address)
        run_cell(page, "run =")
        opened = run_cell(page, "Phase.open")
        expect(opened.get_by_role("button", name="Roll back", exact=True)).to_be_visible()
        expect(opened).to_contain_text("v1.5.0")
        deploy = run_cell(page, "blue-green.deploy")
        expect(deploy).to_contain_text("✔ pass")
        for item in ("blue-green.health", "blue-green.smoke"):
            expect(run_cell(page, item)).to_contain_text("✔ pass")
        traffic = run_cell(page, "blue-green.traffic")
        expect(traffic).to_contain_text("under way")
        expect(run_cell(page, "phase.gate")).to_contain_text("still under way")
        keep(page, "lab-traffic")
        expect(traffic).to_contain_text("✔ pass")
        expect(run_cell(page, "phase.gate")).to_contain_text("✔ gate open")
        keep(page, "lab-gate")
        page.keyboard.press("Control+s")
        saved = project.run(run).folder / "work" / "03_blue_green.ipynb"
        until(lambda: len(items(json.loads(saved.read_text("utf-8")))) == 4, "JupyterLab to save")
    stepped = project.notebook(run, "03_blue_green")
    assert project.run(run).state().phases["blue-green"] == "passed"
    rolled = project.call("rollback", run)
    assert rolled.returncode == Exit.DONE, rolled.stderr
    assert project.call("close", run).returncode == Exit.DONE
    assert (project.run(run).folder / "notebooks" / "03_blue_green.interactive.ipynb").exists()

    other = archived.project.notebook(archived.run, "03_blue_green")
    assert items(stepped) == items(other)
    assert len(items(stepped)) == 4
    assert pictures(stepped) == pictures(other) >= 3


def test_roll_back_is_heard_while_traffic_is_shifted(project: Project, page: Page) -> None:
    run = project.plan("v1.5.0")
    with jupyter([*project.command, "lab", run, "--no-browser"], project.environment, project.home) as address:
        open_notebook(page, address)
        run_cell(page, "run =")
        opened = run_cell(page, "Phase.open")
        expect(run_cell(page, "blue-green.deploy")).to_contain_text("✔ pass")
        for item in ("blue-green.health", "blue-green.smoke"):
            expect(run_cell(page, item)).to_contain_text("✔ pass")
        traffic = run_cell(page, "blue-green.traffic")
        expect(traffic).to_contain_text("10 %")
        opened.get_by_role("button", name="Roll back", exact=True).click()
        opened.get_by_role("button", name="Yes").click()
        expect(opened).to_contain_text("rolling back")
        expect(traffic).to_contain_text("✘ fail")
        keep(page, "lab-rolled-back")
    assert project.weights() == {"green": 100, "blue": 0}
    assert project.run(run).state().rolled_back == "pressed in the notebook"


def test_an_archive_opens_in_jupyterlab_and_the_report_in_a_browser(
    archived: Archived, page: Page, tmp_path: Path
) -> None:
    folder = archived.folder
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"file://{folder}/report.html")
    expect(page.locator("h1")).to_contain_text("v1.5.0")
    expect(page.get_by_text("blue-green.traffic", exact=True).first).to_be_visible()
    assert page.locator("img").count() >= 3
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0 && i.alt)")
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    keep(page, "report")

    without_kernel = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--ServerApp.allow_root=True"]
    options = [f"--ServerApp.root_dir={folder / 'notebooks'}", "--LabApp.default_url=/lab/tree/03_blue_green.ipynb"]
    clean = {"JUPYTER_CONFIG_DIR": str(tmp_path / "jupyter"), "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
    with jupyter([*without_kernel, *options], dict(os.environ) | clean, tmp_path) as address:
        page.goto(address)
        traffic = page.locator(".jp-CodeCell", has_text="blue-green.traffic").last
        expect(traffic).to_contain_text("✔ pass")
        expect(traffic.locator("img").first).to_be_visible()
        keep(page, "archived-notebook")
    assert json.loads((folder / "notebooks" / "04_watch.ipynb").read_text("utf-8"))["nbformat"] == 4
