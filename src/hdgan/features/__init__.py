"""What the generator knows about a pixel: taps, exact upsampling, the pixel table."""
