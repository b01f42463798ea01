"""`python -m cnmsim`: the shell command."""

from cnmsim.cli import main

if __name__ == "__main__":
    main()
