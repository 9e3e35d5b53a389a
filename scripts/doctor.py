"""What this machine has for a run, and what is missing; --help lists the settings. The same as `ipai doctor`."""

from ipai.commands.doctor import main

if __name__ == "__main__":
    main()
