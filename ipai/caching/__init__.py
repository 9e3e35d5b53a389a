"""Computing VAE moments and CLIP image tokens once, for all epochs and runs: `scripts/cache_latents.py`."""
