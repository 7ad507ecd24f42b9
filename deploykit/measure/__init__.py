"""What the metrics know of a deployment: asked, remembered from before, drawn, and tried before anything is touched."""

from deploykit.measure.asking import ask, bounds, named, observe, resources, staging
from deploykit.measure.history import FILE, History, before, recall
from deploykit.measure.pictures import figures, resource_figures, share
from deploykit.measure.probe import probe

__all__ = [
    "FILE",
    "History",
    "ask",
    "before",
    "bounds",
    "figures",
    "named",
    "observe",
    "probe",
    "recall",
    "resource_figures",
    "resources",
    "share",
    "staging",
]
