"""Draw one of the paper's figures; --help lists the settings. The same as `ipai figures`."""

from ipai.commands.figures import main

if __name__ == "__main__":
    main()
