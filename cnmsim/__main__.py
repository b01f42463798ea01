"""Run the shell command with `python -m cnmsim`."""

from cnmsim.cli import main

if __name__ == "__main__":
    main()
