"""What the cache of a study did, from its log alone: look-ups, counts, tables and a figure."""
