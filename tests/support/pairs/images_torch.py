import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3)
        self.fc = nn.Linear(6 * 13 * 13, 10)

    def forward(self, x):
        x = nn.functional.max_pool2d(torch.relu(self.conv(x)), 2)
        return self.fc(x.reshape(len(x), -1))


def build():
    model = Net()
    return model, torch.optim.SGD(model.parameters(), lr=0.05), nn.CrossEntropyLoss()
