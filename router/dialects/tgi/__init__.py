"""Hugging Face's text-generation-inference: `/generate` and `/generate_stream`."""
