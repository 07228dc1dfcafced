"""What is said on the bus, and how it is written: everybody shares this, and it knows nobody.

``messages`` are the models, ``lenient`` the forms in which real clients send them, ``codec`` the
bytes, ``topics`` the names, ``transfer`` large data in chunks.
"""
