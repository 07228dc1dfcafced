"""A captured module as data, and as bytes. PURE: knows the format, no engine and no transport."""
