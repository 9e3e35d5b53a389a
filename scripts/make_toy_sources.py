"""Write the toy world as the real sources lie on disk; --help lists the settings. The same as `ipai toy-sources`."""

from ipai.commands.make_toy_sources import main

if __name__ == "__main__":
    main()
