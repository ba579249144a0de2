"""Programs in Keras, as people write them: known ones, unknown constructs, wrong ones."""

from __future__ import annotations

import textwrap

HEAD = "import keras\nfrom keras import layers, ops\n\n"
LOGITS = "keras.losses.SparseCategoricalCrossentropy(from_logits=True)"
SPARSE = "'sparse_categorical_crossentropy'"
ADAM = "keras.optimizers.Adam"
SGD = "keras.optimizers.SGD(0.1, momentum=0.9)"
FLAT, IMAGE = "keras.Input((64,))", "keras.Input((8, 8, 1))"
MLP = (FLAT, "layers.Dense(16, activation='relu')", "layers.Dense(10)")


def compiled(body: str, optimizer: str = SGD, loss: str = LOGITS, before: str = "") -> str:
    """Return a program whose `model` these lines make."""
    lines = textwrap.indent(f"{body}\nmodel.compile({optimizer}, {loss})\nreturn model\n", "    ")
    return f"{HEAD}{before}\ndef build():\n{lines}"


def sequential(*parts: str, optimizer: str = SGD, loss: str = LOGITS, before: str = "") -> str:
    """Return a program with a Sequential of these layers."""
    body = f"model = keras.Sequential([\n    {f',{chr(10)}    '.join(parts)}\n])"
    return compiled(body, optimizer, loss, before)


def subclassed(init: str, call: str, arguments: str = "x, training=False") -> str:
    """Return a program with a model of a class of its own."""
    before = (
        "class Net(keras.Model):\n    def __init__(self):\n        super().__init__()\n"
        f"{textwrap.indent(init, ' ' * 8)}\n\n    def call(self, {arguments}):\n"
        f"{textwrap.indent(call, ' ' * 8)}\n\n"
    )
    return compiled("model = Net()", before=before)


FUNCTIONAL = """\
i = keras.Input((8, 8, 1))
x = layers.ZeroPadding2D(1)(i)
x = layers.Conv2D(4, 3, strides=2)(x)
x = layers.LeakyReLU()(layers.BatchNormalization(momentum=0.9)(x))
inner = keras.Sequential([keras.Input((4, 4, 4)), layers.Conv2D(3, 2, activation='gelu')])
x = layers.Dropout(0.25)(layers.GlobalAveragePooling2D()(inner(x)))
model = keras.Model(i, layers.Dense(10, activation='softmax')(x))"""
BLOCK = """\
class Block(layers.Layer):
    def __init__(self, units):
        super().__init__()
        self.dense, self.norm = layers.Dense(units), layers.LayerNormalization()
        self.drop = layers.Dropout(0.3)

    def call(self, x):
        return self.drop(ops.relu(self.norm(self.dense(x))))

"""
EXCLUDED = """\
model = keras.Sequential([keras.Input((64,)), layers.Dense(16, 'tanh'), layers.Dense(10)])
rule = keras.optimizers.AdamW(0.01)
rule.exclude_from_weight_decay(var_names=['bias'])"""
RATES = "keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5)"
# As the published comparisons write them: by Sequential and functionally, fitted on one-hot labels.
PUBLISHED = (FLAT, "layers.Dense(10, activation='relu')", "layers.Dense(10, activation='softmax')")
ADVANCED = """\
inputs = keras.Input(shape=(64,))
x = inputs
for units in (128, 64):
    x = layers.Dropout(0.2)(layers.Dense(units, activation='relu')(x))
model = keras.Model(inputs=inputs, outputs=layers.Dense(10, activation='softmax')(x))"""
# What is understood, and the findings that are made of it.
KNOWN: dict[str, tuple[str, set[str]]] = {
    "published, Sequential": (
        sequential(*PUBLISHED, optimizer="keras.optimizers.SGD(learning_rate=0.1)",
                   loss="loss='categorical_crossentropy', metrics=['accuracy']"), set()),
    "published, functional": (
        compiled(ADVANCED, "optimizer=keras.optimizers.SGD(learning_rate=0.01)",
                 "loss=keras.losses.CategoricalCrossentropy(), metrics=['accuracy']"), set()),
    "functional, nested": (
        compiled(FUNCTIONAL, "keras.optimizers.RMSprop(0.01, momentum=0.5)",
                 "'categorical_crossentropy'"), set()),
    "linear outputs": (
        sequential(*MLP, loss=SPARSE, optimizer="'sgd'"), {"logits_as_probabilities"}),
    "softmax taken back": (
        sequential(*MLP[:2], "layers.Dense(10, activation='softmax')"), set()),
    "adam, decay, clipped": (
        sequential(*MLP, optimizer=f"{ADAM}(0.01, weight_decay=0.02, clipvalue=0.01)"),
        set()),
    "decay of kernels": (compiled(EXCLUDED, "rule"), set()),
    "a penalty": (
        sequential(FLAT, "layers.Dense(16, 'relu', kernel_regularizer='l2', bias_regularizer='l2')",
                   "layers.Dense(10, kernel_regularizer='l2', bias_regularizer='l2')"), set()),
    "rates that fall": (
        sequential(*MLP, optimizer=f"keras.optimizers.SGD({RATES}, momentum=0.9)"), set()),
    "huber, summed": (
        sequential(FLAT, "layers.Dense(10, 'tanh')", optimizer="keras.optimizers.SGD(0.01)",
                   loss="keras.losses.Huber(delta=0.3, reduction='sum')"), {"summed_loss"}),
    "blocks of its own": (
        sequential("layers.Flatten()", "Block(8)", "layers.Dense(10)", before=BLOCK), set()),
    "frozen": (
        compiled("model = keras.Sequential([keras.Input((64,)), layers.Dense(16, 'relu'), "
                 "layers.Dense(10)])\nmodel.layers[0].trainable = False"), {"frozen_layers"}),
    "a norm held still": (
        compiled("model = keras.Sequential([keras.Input((64,)), layers.Dense(16), "
                 "layers.BatchNormalization(), layers.Dense(10)])\nnorm = model.layers[1]\n"
                 "norm.gamma.trainable = norm.beta.trainable = False"), {"frozen_layers"}),
    "a penalty of what learns": (
        sequential(FLAT, "layers.Dense(16, 'relu', trainable=False)",
                   "layers.Dense(10, kernel_regularizer='l2')"), {"frozen_layers"}),
    "drops always": (
        subclassed("self.a, self.b = layers.Dense(16), layers.Dense(10)\n"
                   "self.drop, self.unused = layers.Dropout(0.5), layers.Dense(3)\n"
                   "self.unused.build((None, 4))",
                   "return self.b(self.drop(ops.tanh(self.a(x)), training=True))"),
        {"dropout_ignores_evaluation", "unused_layers"}),
}  # fmt: skip
BRANCH = """\
i = keras.Input((64,))
a = layers.Dense(16, 'relu')(i)
model = keras.Model(i, layers.Dense(10)(layers.Dense(16)(a) + a))"""
SCALED = """\
class Scaled(layers.Layer):
    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1],))

    def call(self, x):
        return x * self.w

"""
OWN_STEP = """\
class Net(keras.Sequential):
    def train_step(self, data):
        return super().train_step(data)

"""
# Constructs that nnbench does not know: what is said of each, and its line.
UNKNOWN: dict[str, tuple[str, str, int]] = {
    "branch": (compiled(BRANCH), "a branch (2 inputs)", 8),
    "lambda": (sequential(FLAT, "layers.Lambda(lambda x: x * 2)", "layers.Dense(10)"), "Lambda", 8),
    "activation": (sequential(FLAT, "layers.Dense(8, 'elu')", "layers.Dense(10)"),
                   "activation=elu", 8),
    "a layer of its own": (sequential(FLAT, "Scaled()", "layers.Dense(10)", before=SCALED),
                           "Scaled, which nnbench does not have", 15),
    "a loss of its own": (sequential(*MLP, loss="lambda t, p: ops.mean(p)"),
                          "a loss of your own", 11),
    "optimizer": (sequential(*MLP, optimizer="keras.optimizers.Nadam()"),
                  "the optimizer Nadam", 11),
    "clipped by variable": (sequential(*MLP, optimizer="keras.optimizers.SGD(clipnorm=1.0)"),
                            "clipnorm=1.0", 11),
    "a clipped embedding": (
        sequential(FLAT, "layers.Embedding(11, 3)", "layers.Flatten()", "layers.Dense(10)",
                   optimizer="keras.optimizers.SGD(0.1, global_clipnorm=0.5)"),
        "SGD with an Embedding", 12),
    "an embedding and Adam": (
        sequential(FLAT, "layers.Embedding(11, 3)", "layers.Flatten()", "layers.Dense(10)",
                   optimizer="'adam'"),
        "Adam with an Embedding", 12),
    "groups": (sequential("keras.Input((8, 8, 1))", "layers.Conv2D(2, 3)",
                          "layers.Conv2D(2, 3, groups=2)", "layers.Flatten()", "layers.Dense(10)"),
               "groups=2", 9),
    "a look at values": (
        subclassed("self.a = layers.Dense(10)",
                   "x = self.a(x)\nif ops.sum(x) > 0:\n    x = -x\nreturn x"), "cannot be followed",
        11),
    "a branch on training": (
        subclassed("self.a, self.b = layers.Dense(64), layers.Dense(10)",
                   "if training:\n    x = self.a(x)\nreturn self.b(x)"), "a branch on training", 9),
    "a step of its own": (
        compiled("model = Net([keras.Input((64,)), layers.Dense(10)])", before=OWN_STEP),
        "a train_step of your own", 5),
}  # fmt: skip
# Programs that cannot be trained at all, and what is said.
WRONG: dict[str, tuple[str, str]] = {
    "not compiled": (
        f"{HEAD}def build():\n    return keras.Sequential([{FLAT}])\n",
        "not compiled",
    ),
    "no model": (f"{HEAD}def build():\n    return 3\n", "must return a keras.Model"),
    "other inputs": (sequential("keras.Input((63,))", "layers.Dense(10)"), "63 values"),
    "other outputs": (sequential(FLAT, "layers.Dense(7)"), "outputs"),
    "half precision": (sequential(FLAT, "layers.Dense(10, dtype='float16')"), "float16"),
}
