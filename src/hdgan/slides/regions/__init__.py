"""Regions that a person outlined on a slide, in the formats of QuPath, ImageScope and ASAP."""
