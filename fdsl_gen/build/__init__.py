"""From a recipe to a finished dataset: categories, samples, shards, manifest."""
