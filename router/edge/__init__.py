"""What clients see: aiohttp on the socket, and the OpenAI API on top of it."""
