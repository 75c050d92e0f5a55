"""Subscribers to the event stream: metrics and logs."""
