"""``python -m breezeblock`` is the ``breezeblock`` command."""

from breezeblock.cli.main import main

if __name__ == "__main__":
    main()
