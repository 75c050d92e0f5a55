"""The benchmark: the router beside its peers, each on one core, in one run. How and why: docs/benchmarks.md."""
