"""``python -m intccms``: the command line."""

from __future__ import annotations

from intccms.cli import main

if __name__ == "__main__":
    main()
