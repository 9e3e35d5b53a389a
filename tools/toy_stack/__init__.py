"""Training the toy world's stack from scratch: VAE, CLIP, UNet with its text encoder, IPAdapter+, ControlNet."""
