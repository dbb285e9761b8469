"""Audits of a hasher: its classes against those of an exact one, and against measured results."""
