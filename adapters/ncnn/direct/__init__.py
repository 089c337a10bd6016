"""A program as ncnn's layers, operator by operator, without pnnx: what an operator of the core ATen set is in layers, as data."""
