"""A procedural world with known factors, and a tiny Stable Diffusion trained in it: demo and instrument."""
