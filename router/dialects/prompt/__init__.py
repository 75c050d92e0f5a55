"""Conversations for upstreams that only go on with texts: templates, and replies turned back into chat completions."""
