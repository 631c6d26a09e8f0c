"""What every part's metrics were: read at an interval, kept as growth and levels, asked for by step."""
