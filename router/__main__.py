"""`python -m router` is the console script `llm-router`."""

from router.cli import main

if __name__ == "__main__":
    main()
