"""`make bench`: the speed of drawing, of the network, of explanations, of folder runs and of the explorer."""

from .drawing import bench_drawing
from .explain import bench_explain
from .explorer import bench_explorer
from .folder import bench_folder
from .measure import print_machine
from .network import bench_network

print_machine()
targets = [*bench_drawing(), *bench_network(), *bench_explain(), *bench_folder(), *bench_explorer()]
print("\nTargets")
for target in targets:
    print(f"  {target}")
