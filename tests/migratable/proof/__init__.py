"""The proof machinery: hosts, generators and oracles that the tests of this package share."""
