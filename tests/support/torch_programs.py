"""Programs in PyTorch as people write them, and as nnbench does not know them."""

from __future__ import annotations

import textwrap

HEAD = "import torch\nfrom torch import nn\nimport torch.nn.functional as F\n\n"
SGD = "torch.optim.SGD(model.parameters(), lr=0.1)"
ENTROPY = "nn.CrossEntropyLoss()"
DENSE = "self.a = nn.Linear(64, 16)\nself.b = nn.Linear(16, 16)\nself.c = nn.Linear(16, 10)"


def net(init: str, forward: str, optimizer: str = SGD, loss: str = ENTROPY) -> str:
    """Return a program with a module of these lines."""
    lines = [HEAD, "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"]
    lines += [textwrap.indent(init, " " * 8), "\n    def forward(self, x):\n"]
    lines += [textwrap.indent(forward, " " * 8), "\n\ndef build():\n    model = Net()\n"]
    return "".join(lines) + f"    return model, {optimizer}, {loss}\n"


def sequential(*layers: str, optimizer: str = SGD, loss: str = ENTROPY) -> str:
    """Return a program with a Sequential of these layers."""
    body = (
        f"    model = nn.Sequential({', '.join(layers)})\n    return model, {optimizer}, {loss}\n"
    )
    return HEAD + "def build():\n" + body


ADAM = "torch.optim.Adam(model.parameters(), lr=0.001, weight_decay=0.01)"
MLP = ("nn.Flatten()", "nn.Linear(64, 16)", "nn.ReLU()", "nn.Linear(16, 10)")
HELD = "torch.optim.SGD(model.c.parameters(), lr=0.1, momentum=0.9)"
IMAGES = "self.conv = nn.Conv2d(1, 4, 3)\nself.fc = nn.Linear(4 * 3 * 3, 10)"
POOLED = "x = F.max_pool2d(F.relu(self.conv(x)), 2)\nreturn self.fc(x.view(x.size(0), -1))"
# The programs behind the questions, and what is said of them besides that they are understood.
KNOWN: dict[str, tuple[str, set[str]]] = {
    "batch norm": (
        net(
            "self.fc1 = nn.Linear(64, 16)\nself.norm = nn.BatchNorm1d(16)\n"
            "self.fc2 = nn.Linear(16, 10)",
            "x = x.view(-1, 64)\nreturn self.fc2(torch.relu(self.norm(self.fc1(x))))",
        ),
        set(),
    ),
    "coupled decay": (sequential(*MLP, optimizer=ADAM), {"coupled_decay"}),
    "flatten order": (net(IMAGES, POOLED), set()),
    "rmsprop": (sequential(*MLP, optimizer="torch.optim.RMSprop(model.parameters())"), set()),
    "softmax twice": (sequential(*MLP, "nn.Softmax(dim=1)"), {"softmax_twice"}),
    "summed": (
        sequential(*MLP, loss="nn.CrossEntropyLoss(reduction='sum')",
                   optimizer="torch.optim.SGD(model.parameters(), lr=0.001)"),
        {"summed_loss"},
    ),
    "dropout": (
        net(DENSE + "\nself.drop = nn.Dropout(0.3)",
            "x = self.drop(torch.relu(self.a(x.flatten(1))))\n"
            "x = F.dropout(torch.relu(self.b(x)), 0.2)\n"
            "return F.log_softmax(self.c(F.dropout(x, 0.1, self.training)), dim=1)",
            loss="F.nll_loss"),
        {"dropout_ignores_evaluation"},
    ),
    "one layer in the optimizer": (
        net(DENSE, "return self.c(self.b(torch.relu(self.a(x.reshape(len(x), -1)))))", HELD),
        {"not_in_optimizer", "no_activation"},
    ),
    "frozen and unused": (
        net(DENSE + "\nfor p in self.a.parameters():\n    p.requires_grad = False",
            "return self.c(torch.tanh(self.a(x.flatten(1))))"),
        {"frozen_layers", "unused_layers"},
    ),
    "held still": (
        net(DENSE + "\nself.a.requires_grad_(False)",
            "return self.c(torch.tanh(self.b(torch.tanh(self.a(x.flatten(1))))))",
            "torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)"),
        {"frozen_layers"},
    ),
    "before detach": (
        net(DENSE, "x = torch.tanh(self.a(x.flatten(1))).detach()\n"
            "return self.c(torch.tanh(self.b(x)))"),
        {"frozen_layers"},
    ),
    "without gradients": (
        net(DENSE, "with torch.no_grad():\n    x = torch.tanh(self.a(x.flatten(1)))\n"
            "return self.c(torch.tanh(self.b(x)))"),
        {"frozen_layers"},
    ),
    "a rate of 0": (
        net(DENSE, "return self.c(torch.tanh(self.b(torch.tanh(self.a(x.flatten(1))))))",
            "torch.optim.AdamW([{'params': model.a.parameters(), 'lr': 0.0}, "
            "{'params': [*model.b.parameters(), *model.c.parameters()]}], lr=0.01)"),
        {"frozen_layers"},
    ),
    "images held still": (
        net(IMAGES + "\nself.norm = nn.BatchNorm2d(4)\nfor part in (self.conv, self.norm):\n"
            "    part.requires_grad_(False)",
            "x = F.relu(self.norm(self.conv(x)))\nreturn self.fc(F.max_pool2d(x, 2).flatten(1))"),
        {"frozen_layers"},
    ),
    "dropout in every way": (
        net(DENSE, "x = F.dropout(torch.relu(self.a(x.flatten(1))), 0.3, self.training)\n"
            "x = nn.Dropout(0.2)(torch.relu(self.b(x)))\n"
            "return self.c(torch.dropout(F.dropout(x, 0.1, training=False), 0.1, True))"),
        {"dropout_ignores_evaluation"},
    ),
    "channels last inside": (
        net("self.conv = nn.Conv2d(1, 4, 3)\nself.norm = nn.LayerNorm(4)\n"
            "self.fc = nn.Linear(144, 10)",
            "x = self.conv(x).permute(0, 2, 3, 1)\nb, h, w, c = x.shape\nassert h == w\n"
            "return self.fc(torch.relu(self.norm(x)).reshape(b, -1))"),
        set(),
    ),
    "by hand": (
        net("self.W = nn.Parameter(torch.randn(64, 16) * 0.1)\n"
            "self.b = nn.Parameter(torch.zeros(16))\n"
            "self.V = nn.Parameter(torch.randn(10, 16) * 0.1)",
            "return F.linear(torch.tanh(x.flatten(1) @ self.W + self.b), self.V)",
            loss="lambda o, y: F.mse_loss(torch.sigmoid(o), F.one_hot(y, 10).float(), "
            "reduction='none').sum(dim=1).mean()"),
        set(),
    ),
    "a rate that falls": (
        sequential(*MLP).replace("return model,", "optimizer =").replace(f", {ENTROPY}", "\n")
        + "    falling = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)\n"
        + f"    return model, optimizer, {ENTROPY}, falling\n",
        set(),
    ),
}  # fmt: skip


FORWARD = "return self.c(torch.relu(self.a(x.flatten(1))))"
# A construct, the line it stands on, and a word of what is said.
UNKNOWN: dict[str, tuple[str, str, str]] = {
    "residual": (
        net(DENSE, "x = torch.relu(self.a(x.flatten(1)))\nx = x + self.b(x)\nreturn self.c(x)"),
        "x + self.b(x)", "branches",
    ),
    "dropped in evaluation": (
        net(DENSE, "x = F.dropout(self.a(x.flatten(1)), 0.1, not self.training)\nreturn self.c(x)"),
        "F.dropout(self.a(x.flatten(1)), 0.1, not self.training)", "drops otherwise",
    ),
    "normalised in evaluation": (
        net("self.a = nn.Linear(64, 10)\nself.norm = nn.BatchNorm1d(10)",
            "return self.norm(self.a(x.flatten(1)))").replace("    def forward", (
            "    def train(self, mode=True):\n        super().train(mode)\n"
            "        self.norm.train()\n        return self\n\n    def forward")),
        "nn.BatchNorm1d(10)", "normalises by the batch in evaluation",
    ),
    "function": (
        net(DENSE, "x = torch.sin(self.a(x.flatten(1)))\nreturn self.c(x)"),
        "torch.sin(self.a(x.flatten(1)))", "sin",
    ),
    "lambda": (
        net(DENSE + "\nself.f = lambda z: z * torch.sigmoid(1.7 * z)",
            "return self.c(self.f(self.a(x.flatten(1))))"),
        "z * torch.sigmoid(1.7 * z)", "branches",
    ),
    "recurrent": (
        net("self.r = nn.GRU(8, 16, batch_first=True)\nself.c = nn.Linear(16, 10)",
            "x, _ = self.r(x.view(-1, 8, 8))\nreturn self.c(x[:, -1])"),
        "nn.GRU(8, 16, batch_first=True)", "GRU",
    ),
    "two ways": (
        net(DENSE + "\nself.d = nn.Linear(32, 10)",
            "x = self.a(x.flatten(1))\nreturn self.d(torch.cat([x, torch.tanh(self.b(x))], 1))"),
        "torch.cat([x, torch.tanh(self.b(x))], 1)", "branches",
    ),
    "grouped": (
        net("self.k = nn.Conv2d(1, 4, 3)\nself.g = nn.Conv2d(4, 4, 3, groups=2)\n"
            "self.c = nn.Linear(64, 10)", "return self.c(self.g(self.k(x)).flatten(1))"),
        "nn.Conv2d(4, 4, 3, groups=2)", "groups=2",
    ),
    "values decide": (
        net(DENSE, "x = self.a(x.flatten(1))\nif x.mean() > 0:\n    x = torch.relu(x)\n"
            "return self.c(x)"),
        "x.mean() > 0", "control flow",
    ),
    "noise in training": (
        net(DENSE, "x = self.a(x.flatten(1))\nif self.training:\n    x = x + torch.randn_like(x)\n"
                   "return self.c(x)"),
        "torch.randn_like(x)", "randn_like",
    ),
    "own loss": (
        net(DENSE, FORWARD, loss="lambda o, y: F.cross_entropy(o, y) + 0.01 * o.pow(2).mean()"),
        "F.cross_entropy(o, y)", "mean or a sum",
    ),
    "own optimizer": (
        net(DENSE, FORWARD, "torch.optim.Adadelta(model.parameters())"),
        "torch.optim.Adadelta(model.parameters())", "Adadelta",
    ),
    "two rates": (
        net(DENSE, FORWARD, "torch.optim.SGD([{'params': model.a.parameters()}, "
                            "{'params': model.c.parameters(), 'lr': 0.01}], lr=0.1)"),
        "torch.optim.SGD(", "several learning rates",
    ),
    "used twice": (
        net(DENSE, "x = torch.relu(self.a(x.flatten(1)))\n"
            "return self.c(self.b(torch.tanh(self.b(x))))"),
        "nn.Linear(16, 16)", "used twice",
    ),
    "a hook": (
        net(DENSE + "\nself.a.register_forward_hook(lambda m, i, o: o * 2)", FORWARD),
        "Net()", "hooks",
    ),
    "no logarithm": (net(DENSE, FORWARD, loss="nn.NLLLoss()"), "nn.NLLLoss()", "log-probabilities"),
}  # fmt: skip


WRONG = {
    "build() returned Linear": HEAD + "def build():\n    return nn.Linear(64, 10)\n",
    "as the optimizer": HEAD + "def build():\n    return nn.Linear(64, 10), 0.1, nn.MSELoss()\n",
    "on meta": sequential("nn.Linear(64, 10, device='meta')"),
    "float16": sequential("nn.Linear(64, 10)").replace("return", "model.half()\n    return"),
    "set data= to what it takes": sequential("nn.Linear(63, 10)"),
    "returns (3, 7)": sequential("nn.Flatten()", "nn.Linear(64, 7)"),
    "none of the model's": sequential(
        "nn.Flatten()",
        "nn.Linear(64, 10)",
        optimizer="torch.optim.SGD(nn.Linear(2, 2).parameters(), 0.1)",
    ),
    "returns tuple": net(DENSE, "return self.c(self.a(x.flatten(1))), x"),
    "The loss does not take": sequential(*MLP, loss="nn.CosineEmbeddingLoss()"),
}
