"""Rows of papers: ``make reproduce ROW=1p-frac-cifar100`` renders, pre-trains and fine-tunes.

Every stage goes on where it was stopped. ``--scale`` makes all of it small, to see that it runs;
what it then measures says nothing of the row.
"""
