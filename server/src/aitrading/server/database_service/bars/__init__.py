"""Bars from one second to one day: made from ticks, kept by the database, always exact."""
