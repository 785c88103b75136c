"""`python -m dropout_lab` is the command line."""

from dropout_lab.cli import main

if __name__ == "__main__":
    main()
