"""By this file the command `lighter` knows a project."""
