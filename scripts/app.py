"""A page to play with an adapter; --help lists the settings. The same as `ipai app`."""

from ipai.commands.app import main

if __name__ == "__main__":
    main()
