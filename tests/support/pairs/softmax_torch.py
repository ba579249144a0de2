import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(784, 48)
        self.out = nn.Linear(48, 10)

    def forward(self, x):
        x = torch.relu(self.hidden(x.flatten(1)))
        return torch.softmax(self.out(x), dim=1)


def build():
    model = Net()
    return model, torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss()
