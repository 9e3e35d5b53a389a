"""What hosts call the sizes of an adapter, where files hold these names."""

TOKEN_DIM = "cross_attention_dim"
"""`AdapterSpec.token_dim` in the header of an adapter file: the UNets' word for it."""
