"""What all builders share: plan -> pure build of a shard -> write aside -> rename -> sidecar last."""
