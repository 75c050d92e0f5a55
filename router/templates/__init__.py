"""The operator's chat templates, rendered in a process that can be killed."""
