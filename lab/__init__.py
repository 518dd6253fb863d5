"""The commands of a lab's operator: bring a stack up, preview, refresh and destroy it, with the pinned tools."""
