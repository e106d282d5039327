"""Populations of devices, modelled from few that were measured and from facts of many."""
