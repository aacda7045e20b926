"""``python -m clarity``: the same commands, with this interpreter."""

from clarity.cli import main

if __name__ == "__main__":
    main()
