"""What a benchmark can do without: packages and tools that not every machine has."""


class Missing(Exception):
    """An optional tool is not there, or cannot do this; says which and why."""
