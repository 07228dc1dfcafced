"""WASI preview 1 whose whole state can be captured: records, rules on them, and the calls."""
