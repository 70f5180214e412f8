"""Shipped test helpers: painted slides and an analytic generator, both with exact masks."""
