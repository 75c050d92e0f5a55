"""The mock provider: what it answers, sans-I/O. Played in-process by `upstream/`, on a socket by `mock/`."""
