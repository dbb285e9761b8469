"""Surrogate search: the searcher, its Gaussian process, distances and candidates."""

from nas.algorithms.surrogate.search import SurrogateSearch

__all__ = ["SurrogateSearch"]
