"""One request from plan to settlement. Knows no web framework: the client is an `Exchange`."""
