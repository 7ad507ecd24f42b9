"""Production deployments as notebooks that do the work, watch, roll back and keep the record."""

__all__ = ["__version__"]

__version__ = "0.1.0"
