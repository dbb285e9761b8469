"""Searchers compared: from the logs of many studies of many methods to tests, tables and figures."""

from nas.comparison.reading import Comparison, is_comparison, read_comparison
from nas.comparison.report import write_comparison

__all__ = ["Comparison", "is_comparison", "read_comparison", "write_comparison"]
