"""Data in, figures and pages out. No torch."""
