"""Writes labelled pairs without end, and screens them."""
