"""The standard network vocabulary. Importing it costs no torch; building a network does."""

from __future__ import annotations

from nas.layers.catalogue import COMPOSITES, LAYERS, OPERATIONS
from nas.primitives import Vocabulary

NETWORK = Vocabulary("network", LAYERS + OPERATIONS + COMPOSITES, home="nas.layers:NETWORK")
