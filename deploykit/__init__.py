"""Production deployments as notebooks that do the work, watch, roll back and keep the record."""
