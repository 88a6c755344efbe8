"""A dataset on disk or in a bucket: who owns it, reading, checking, copying, looking."""
