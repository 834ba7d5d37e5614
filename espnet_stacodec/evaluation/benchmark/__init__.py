"""How fast everything is, beside other ways to do the same, measured in one run."""
