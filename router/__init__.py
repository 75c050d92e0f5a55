"""llm-router: a load-balancing, OpenAI-compatible endpoint for a whole team's LLM traffic.

Importing this package imports nothing else; `router.app` is the composition root and `router.cli` the command line.
"""

__version__ = "0.1.0"
