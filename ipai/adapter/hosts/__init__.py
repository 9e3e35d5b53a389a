"""How an adapter sits in a denoiser; diffusers' internals are touched here and nowhere else."""
