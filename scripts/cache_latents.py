"""Compute VAE moments and CLIP image tokens of shards once; --help lists the settings. The same as `ipai cache`."""

from ipai.commands.cache_latents import main

if __name__ == "__main__":
    main()
