"""Forms of cells by algebra, to hold hashes against; none of them knows how the functional hash works."""
