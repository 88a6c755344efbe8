"""Models: built, read from files, fitted to a new task, exported."""
