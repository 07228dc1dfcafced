"""Tests of ``arts.migratable``: a package, so that they can share their host and their oracle."""
