"""Train a small network on handwritten digits, plot, export it as one file, run it without jaxc.

    python examples/digits.py        (or: make demo)

Everything up to the export is what one would write for JAX. Writes to examples/out/.
"""

import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
from sklearn.datasets import load_digits

import jaxc as jax
import jaxc.numpy as jnp

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OUT = Path(__file__).parent / "out"
LAYERS = (64, 128, 10)
EPOCHS, BATCH, LEARNING_RATE = 40, 64, 3e-3


def load_data():
    """The 1797 bundled 8x8 images, scaled to 0..1: four fifths to train on, one fifth held out."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images = (digits.data[order] / 16.0).astype(np.float32)
    labels = digits.target[order].astype(np.int32)
    held_out = len(labels) // 5
    return images[held_out:], labels[held_out:], images[:held_out], labels[:held_out]


def init_params(key):
    params = []
    for n_in, n_out in pairwise(LAYERS):
        key, subkey = jax.random.split(key)
        w = jax.random.normal(subkey, (n_in, n_out)) * jnp.sqrt(2.0 / n_in)
        params.append({"w": w, "b": jnp.zeros(n_out)})
    return params


def logits_of(params, images):
    *hidden, last = params
    x = images
    for layer in hidden:
        x = jax.nn.relu(x @ layer["w"] + layer["b"])
    return x @ last["w"] + last["b"]


def loss_of(params, images, labels):
    log_probs = jax.nn.log_softmax(logits_of(params, images))
    return -jnp.mean(jnp.sum(jax.nn.one_hot(labels, 10) * log_probs, axis=1))


loss_and_grad = jax.value_and_grad(loss_of)


@jax.jit
def train_step(params, moments, step, images, labels):
    """One step of Adam."""
    loss, grads = loss_and_grad(params, images, labels)
    mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, moments[0], grads)
    square = jax.tree.map(lambda s, g: 0.999 * s + 0.001 * g * g, moments[1], grads)
    rate = LEARNING_RATE * jnp.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    params = jax.tree.map(lambda p, m, s: p - rate * m / (jnp.sqrt(s) + 1e-8), params, mean, square)
    return params, (mean, square), loss


@jax.jit
def accuracy(params, images, labels):
    return jnp.mean(jnp.argmax(logits_of(params, images), axis=1) == labels)


def train(train_images, train_labels, test_images, test_labels):
    """Returns the trained parameters, the loss of every step and the accuracy of every epoch."""
    params = init_params(jax.random.PRNGKey(0))
    zeros = jax.tree.map(jnp.zeros_like, params)
    moments = (zeros, zeros)
    rng = np.random.default_rng(1)
    losses, accuracies = [], []
    for epoch in range(1, EPOCHS + 1):
        order = rng.permutation(len(train_labels))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            step = jnp.float32(len(losses) + 1)
            params, moments, loss = train_step(
                params, moments, step, train_images[chosen], train_labels[chosen]
            )
            losses.append(float(loss))
        accuracies.append(float(accuracy(params, test_images, test_labels)))
        if epoch == 1 or epoch % 5 == 0:
            print(f"epoch {epoch:3d}  loss {losses[-1]:.4f}  held-out {accuracies[-1]:.1%}")
    return params, losses, accuracies


def plot_training(losses, accuracies, path):
    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    axis.semilogy(losses, linewidth=0.8, color="tab:blue")
    axis.set(xlabel="step", title="Digits: training")
    axis.set_ylabel("training loss", color="tab:blue")
    right = axis.twinx()
    steps = np.arange(1, len(accuracies) + 1) * len(losses) / len(accuracies)
    right.plot(steps, np.multiply(accuracies, 100), color="tab:orange")
    right.set_ylabel("held-out accuracy, %", color="tab:orange")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def plot_predictions(images, labels, predictions, path):
    """A grid of held-out digits, mistakes first and in red."""
    wrong = np.flatnonzero(predictions != labels)
    right = np.flatnonzero(predictions == labels)
    figure, axes = plt.subplots(4, 8, figsize=(8, 4.6), layout="constrained")
    for axis, index in zip(axes.flat, [*wrong[:8], *right], strict=False):
        axis.imshow(images[index].reshape(8, 8), cmap="gray_r")
        correct = predictions[index] == labels[index]
        text = str(predictions[index]) if correct else f"{predictions[index]}, not {labels[index]}"
        axis.set_title(text, fontsize=8, color="black" if correct else "red")
        axis.axis("off")
    figure.savefig(path, dpi=120)
    plt.close(figure)


# Runs in a fresh interpreter in which neither the frontend nor the compiler can be imported.
RUN_ALONE = """
import sys
for package in ("jaxc", "jaxc_compiler", "jaxc_tools", "torch_mlir", "iree.compiler"):
    sys.modules[package] = None
import jaxc_runtime
import numpy as np
model, images, result = sys.argv[1:]
np.save(result, jaxc_runtime.load(model)(np.load(images)))
"""


def export(params, images):
    """Write the model with its weights as one file; return what it predicts without jaxc."""
    from jaxc_tools.compile import compile_function

    def predict(images):
        return jnp.argmax(logits_of(params, images), axis=1)

    model = OUT / "digits.vmfb"
    compile_function(predict, [images], model)
    np.save(OUT / "images.npy", images)
    files = [str(OUT / name) for name in ("digits.vmfb", "images.npy", "predictions.npy")]
    subprocess.run([sys.executable, "-c", RUN_ALONE, *files], check=True)
    print(f"exported {model} ({model.stat().st_size / 1024:.0f} KiB)")
    return np.load(OUT / "predictions.npy")


def main():
    OUT.mkdir(exist_ok=True)
    train_images, train_labels, test_images, test_labels = load_data()
    print(f"training on {len(train_labels)} digits, {len(test_labels)} held out")
    started = time.perf_counter()
    params, losses, accuracies = train(train_images, train_labels, test_images, test_labels)
    seconds = time.perf_counter() - started
    print(
        f"trained in {seconds:.1f} s ({len(losses)} steps), held-out accuracy {accuracies[-1]:.1%}"
    )

    predictions = np.asarray(jnp.argmax(logits_of(params, test_images), axis=1))
    plot_training(losses, accuracies, OUT / "training.png")
    plot_predictions(test_images, test_labels, predictions, OUT / "predictions.png")
    print(f"plots: {OUT / 'training.png'}, {OUT / 'predictions.png'}")

    alone = export(params, test_images)
    same = np.array_equal(alone, predictions)
    print(f"predictions of the exported file, run without jaxc: {'the same' if same else 'DIFFER'}")
    if accuracies[-1] < 0.95 or not same:
        sys.exit("the demo did not reach what it promises")


if __name__ == "__main__":
    main()
