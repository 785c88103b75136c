"""The same network as PyTorch tutorials train it, from torchvision's MNIST by a DataLoader: dataloader.py RATE EPOCHS

Pixels as ToTensor gives them, 784-128-128-10, dropout before the ReLU, Adam, batch 32, the last tenth for validation.
"""

import json
import sys
import time

import torch
from mnist import DIRECTORY, TRAIN
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

rate, epochs = float(sys.argv[1]), int(sys.argv[2])
torch.manual_seed(0)
images = datasets.MNIST(DIRECTORY, train=True, transform=transforms.ToTensor())
training = DataLoader(Subset(images, range(TRAIN)), batch_size=32, shuffle=True)
validation = DataLoader(Subset(images, range(TRAIN, len(images))), batch_size=1000)


def hidden(inputs):
    return nn.Linear(inputs, 128), nn.Dropout(rate), nn.ReLU()


model = nn.Sequential(nn.Flatten(), *hidden(784), *hidden(128), nn.Linear(128, 10))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters())

for epoch in range(1, epochs + 1):
    started = time.perf_counter()
    model.train()
    for x, y in training:
        loss = criterion(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        right = sum(int((model(x).argmax(1) == y).sum()) for x, y in validation)
    seconds = time.perf_counter() - started
    print(json.dumps({"epoch": epoch, "seconds": seconds, "val_accuracy": right / len(validation.dataset)}), flush=True)
