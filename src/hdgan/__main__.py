"""`python -m hdgan`, the form in which torchrun starts it."""

from __future__ import annotations

from hdgan.cli.main import main

if __name__ == "__main__":
    main()
