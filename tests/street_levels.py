"""What `street` makes of a square picture, worked out by hand: its input, and the cells of each level."""

SIDE = 512  # pixels of the network's input
CELLS = tuple(SIDE // stride for stride in (4, 8, 16, 32, 64))  # P2 to P6, a side
ANCHORS = 3 * sum(side**2 for side in CELLS)
CANDIDATES = sum(min(400, 3 * side**2) for side in CELLS)
