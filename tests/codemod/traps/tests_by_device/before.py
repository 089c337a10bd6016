import pytest
import torch


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("dtype, device2", [(torch.float32, "cpu"), pytest.param(torch.float16, "cuda")])
def test_sum(device, dtype, device2):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no cuda")
    generator = torch.Generator(device="cuda").manual_seed(0)
