"""A plugin of pytest: makes torchvision importable beside a PyTorch that it was not built for."""

from porting.sources._torchvision import make_importable

make_importable()
