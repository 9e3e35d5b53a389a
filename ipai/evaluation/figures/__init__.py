"""The paper's figures, one module each; every one makes a matplotlib figure from files or a run."""
