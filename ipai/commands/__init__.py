"""The commands, each a `main`: `ipai <command>`, or the script of the same name."""
