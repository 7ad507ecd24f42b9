"""What a runbook's notebook calls. A cell names an item; everything else happens here."""

from deploykit.notebook.phase import Phase

__all__ = ["Phase"]
