"""Run the command line with ``python -m ablate``."""

from ablate.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
