"""The ``arts`` command."""


def main() -> None:
    """Placeholder until the command line lands."""
    raise SystemExit("arts: no commands yet")
