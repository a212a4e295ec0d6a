import numpy as np
import torch

from maskseg_nb.lessons import describe


def test_describe_prints_name_shape_dtype_and_range(capsys):
    describe(
        image=np.array([[[3, 200, 7]]], np.uint8), tensor=torch.tensor([-0.5, 0.25]), none=np.zeros((0, 2))
    )
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["image", "(1,", "1,", "3)", "uint8", "3", "to", "200"]
    assert lines[1] == ["tensor", "(2,)", "float32", "-0.5", "to", "0.25"]
    assert lines[2] == ["none", "(0,", "2)", "float64", "empty"]
