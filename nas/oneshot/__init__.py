"""Searches on one supernet with shared weights: a training loop and its interchangeable parts."""
