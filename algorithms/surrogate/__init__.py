"""Surrogate search, the default: the searcher, its Gaussian process, distances and candidates."""

from algorithms.surrogate.search import SurrogateSearch

__all__ = ["SurrogateSearch"]
