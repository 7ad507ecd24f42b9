"""Runs what the checklist names, and records it: checks side by side, actions step by step, rules before changes."""

from deploykit.execution.actions import require_passed, run_action
from deploykit.execution.checks import could_not_look, run_check
from deploykit.execution.context import make_context

__all__ = ["could_not_look", "make_context", "require_passed", "run_action", "run_check"]
