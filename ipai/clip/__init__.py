"""The CLIP that scores pictures, and its scores."""
