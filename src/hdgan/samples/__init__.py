"""Seeds become images and latents in the bank of samples."""
