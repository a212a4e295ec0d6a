"""`make bench`: how fast masks are drawn, the network and a folder run, and the explorer follows a key."""

from .drawing import bench_drawing
from .explorer import bench_explorer
from .folder import bench_folder
from .measure import print_machine
from .network import bench_network

print_machine()
targets = [*bench_drawing(), *bench_network(), *bench_folder(), *bench_explorer()]
print("\nTargets")
for target in targets:
    print(f"  {target}")
