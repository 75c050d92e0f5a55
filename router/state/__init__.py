"""The load picture that routing reads: in memory, and later traded with the siblings."""
