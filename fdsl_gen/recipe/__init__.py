"""A recipe, and what it decides: identity, sample order, shards."""
