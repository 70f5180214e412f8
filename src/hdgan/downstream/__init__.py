"""Trains segmenters on the pairs and tests them on real images."""
