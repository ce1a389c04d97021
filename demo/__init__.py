"""The main job, told to a reader who knows nothing: `make demo`."""
