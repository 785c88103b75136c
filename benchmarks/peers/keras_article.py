"""The article's network in Keras, as its reader would write it: keras_article.py BACKEND RATE EPOCHS

Columns of every image normalized, 784-128-128-10, dropout before the ReLU, Adam, batch 32, the last
tenth for validation.
"""

import json
import os
import sys
import time

backend, rate, epochs = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
os.environ["KERAS_BACKEND"] = backend
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras  # noqa: E402  (it reads the backend from the environment)
from mnist import read  # noqa: E402


def prepared(part):
    images, labels = read(part)
    return keras.utils.normalize(images.astype("float32"), axis=1), keras.utils.to_categorical(labels, 10)


class Report(keras.callbacks.Callback):
    """Print what every epoch took, validation included: the time since the epoch before it ended."""

    def on_train_begin(self, logs=None):
        self.ended = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        before, self.ended = self.ended, time.perf_counter()
        print(json.dumps({"epoch": epoch + 1, "seconds": self.ended - before, **logs}, default=float), flush=True)


keras.utils.set_random_seed(0)
model = keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten()])
for _ in range(2):
    model.add(keras.layers.Dense(128))
    if rate > 0:
        model.add(keras.layers.Dropout(rate))
    model.add(keras.layers.Activation("relu"))
model.add(keras.layers.Dense(10, activation="softmax"))
model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
model.fit(*prepared("train"), batch_size=32, epochs=epochs, validation_split=0.1, verbose=0, callbacks=[Report()])
model.evaluate(*prepared("t10k"), verbose=0)
