"""Draw pictures; --help lists the settings. The same as `ipai generate`."""

from ipai.commands.generate import main

if __name__ == "__main__":
    main()
