import pytest
import torch
import porting_accel as accel


@pytest.mark.parametrize("device", ["cpu", accel.name])
@pytest.mark.parametrize("dtype, device2", [(torch.float32, "cpu"), pytest.param(torch.float16, accel.name)])
def test_sum(device, dtype, device2):
    if device == accel.name and not accel.is_available():
        pytest.skip("no cuda")
    generator = torch.Generator(device=accel.type).manual_seed(0)
