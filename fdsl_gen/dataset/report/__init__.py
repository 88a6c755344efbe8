"""What the images of a dataset are like, in figures and on a page."""
