"""Where the files of a dataset are: a folder, or a cache of a bucket."""
