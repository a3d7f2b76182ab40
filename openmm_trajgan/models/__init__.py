"""The networks, their objective and the file they live in."""
