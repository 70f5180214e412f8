"""Predicts the held-out annotated images and measures how well."""
