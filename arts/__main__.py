"""``python -m arts`` is ``arts``."""

from arts.cli import main

main()
