"""Which pictures an evaluation draws, and drawing them."""
