"""Providers' wire formats, sans-I/O: bytes in, facts and bytes out."""
