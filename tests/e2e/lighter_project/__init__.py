"""What `lighter` imports as `project`."""
