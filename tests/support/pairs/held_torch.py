import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(784, 32), nn.BatchNorm1d(32, 1e-3, 0.01), nn.ReLU())
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        return self.head(self.features(x.flatten(1)))


def build():
    model = Net()
    return model, torch.optim.SGD(model.head.parameters(), lr=0.1), nn.CrossEntropyLoss()
