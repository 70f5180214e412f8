"""Contour clean-up: class probabilities and the image in, a cleaner mask out. numpy and scipy only."""
