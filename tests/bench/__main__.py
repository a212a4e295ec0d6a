"""`make bench`: how fast masks are drawn, the network runs and the explorer follows a key."""

from .drawing import bench_drawing
from .explorer import bench_explorer
from .measure import print_machine
from .network import bench_network

print_machine()
targets = [*bench_drawing(), *bench_network(), *bench_explorer()]
print("\nTargets")
for target in targets:
    print(f"  {target.name}: {'reached' if target.reached else 'MISSED'} ({target.measured})")
