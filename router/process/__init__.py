"""The process around an app: its signals, its reloads, its end."""
