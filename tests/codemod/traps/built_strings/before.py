import torch


def place(rank, model):
    first = torch.device(f"cuda:{rank}")
    second = torch.device('cuda:' + str(rank))
    third = torch.device("cuda:%d" % rank)
    fourth = torch.device("cuda:{}".format(rank))
    fifth = torch.device('cuda:0' if torch.cuda.is_available() else'cpu')
    model.to(device="cuda:1")
    return first, second, third, fourth, fifth
