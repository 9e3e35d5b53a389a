"""Build the shards of one task; --help lists the settings. The same as `ipai build`."""

from data_builders.command import main

if __name__ == "__main__":
    main()
