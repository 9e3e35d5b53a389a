"""Train IPAdapter-Instruct; --help lists the settings. The same as `ipai train`."""

from ipai.commands.train import main

if __name__ == "__main__":
    main()
