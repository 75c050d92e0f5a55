"""`llm-router simulate`: traces and scenarios are read, simulations run, and what they tell is shown."""
