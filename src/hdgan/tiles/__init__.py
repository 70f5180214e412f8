"""Cut slides into tiles, drop the white ones, put patients into folds."""
