"""The paper's claims, each answered by what the reproduction measured."""
