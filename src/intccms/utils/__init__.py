"""Small things that every part needs: files, the run directory, logging."""
