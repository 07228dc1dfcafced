"""Engines: what runs programs, behind one contract (``base``)."""
