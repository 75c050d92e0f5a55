"""The pure part: values, decisions and rules. No I/O, no clock and no randomness but what is handed in."""
