"""Pinned content digests of a few samples of every recipe.

``python -m tests.golden`` (``make golden``) rewrites ``digests.json`` and the picture beside it. A
changed digest means that users' datasets change: raise the kind's REVISION and write a line into
the CHANGELOG.
"""
