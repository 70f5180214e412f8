"""StyleGAN2-ADA, written from the papers (arXiv 1912.04958, 2006.06676)."""
