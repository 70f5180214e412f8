"""Open a whole-slide image and read regions at a stated scale."""
