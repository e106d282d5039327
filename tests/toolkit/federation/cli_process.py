"""The command line in a process of its own: `python cli_process.py COMMAND ...`."""

from __future__ import annotations

from toolkit.cli.app import main

if __name__ == "__main__":
    main()
