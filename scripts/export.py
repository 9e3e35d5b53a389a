"""Write a folder for the Hugging Face hub; --help lists the settings. The same as `ipai export`."""

from ipai.commands.export import main

if __name__ == "__main__":
    main()
