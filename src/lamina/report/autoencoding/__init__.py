"""Reports of runs that restore their input."""
