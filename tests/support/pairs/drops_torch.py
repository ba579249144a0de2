import torch
from torch import nn


def build():
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 48), nn.ReLU(), nn.Dropout(0.5), nn.Linear(48, 10)
    )
    return model, torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss()
