"""From a search space to one supernet with shared weights, and back to an architecture."""
