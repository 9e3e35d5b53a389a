"""What makes the files that ship with the project; no part of the installed package."""
