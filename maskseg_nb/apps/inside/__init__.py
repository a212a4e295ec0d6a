"""The network opened: choose a stage, look into it, change its knobs, follow one box."""
