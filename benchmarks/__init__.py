"""How fast it is: measured as ratios inside one run, because machines differ and share their cores."""
