"""Score a trained adapter; --help lists the settings. The same as `ipai evaluate`."""

from ipai.commands.evaluate import main

if __name__ == "__main__":
    main()
