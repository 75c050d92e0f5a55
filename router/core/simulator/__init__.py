"""A discrete-event simulator of the router before modelled deployments: the code that routes, under a clock that is a
number. Pure: a trace and a model in, what happened out."""
