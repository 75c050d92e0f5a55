"""The mock provider as a real HTTP server, for tests, demos and benchmarks."""
