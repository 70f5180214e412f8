"""What a person says about an image: masks, regions, splits. Knows nothing of GANs."""
