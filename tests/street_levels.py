"""What `street` makes of a square picture, worked out by hand: its input, and the cells of each level."""

SIDE = 576  # pixels of the network's input
CELLS = tuple(SIDE // stride for stride in (4, 8, 16, 32, 64))  # cells per side, P2 to P6
ANCHORS = 3 * sum(side**2 for side in CELLS)
PER_LEVEL, PROPOSALS = 600, 300  # candidates and proposals kept at most
CANDIDATES = sum(min(PER_LEVEL, 3 * side**2) for side in CELLS)
