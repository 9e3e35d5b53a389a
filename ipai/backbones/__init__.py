"""The frozen stack around the adapter: UNet, VAE, text encoder, image encoder and instruction encoder."""
