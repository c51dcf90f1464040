#!/usr/bin/env python3
"""Predictions of an ONNX model by OpenCV, a reader that has nothing of ffzero:  read_onnx.py MODEL DATA.npz
One line for each sample of x_test: the class (its number; "-" in regression), then the scores or values. Exit code 77: no OpenCV here.
SPDX-License-Identifier: MIT"""
import sys

try:
    import cv2
    import numpy as np
except ImportError as missing:
    print(missing)
    sys.exit(77)

net = cv2.dnn.readNetFromONNX(sys.argv[1])
names = net.getUnconnectedOutLayersNames()
samples = np.load(sys.argv[2])["x_test"].astype(np.float32)
if samples.ndim == 3:
    samples = samples[:, np.newaxis]  # one plane
for sample in samples:
    net.setInput(sample[np.newaxis])
    outputs = dict(zip(names, net.forward(list(names))))
    numbers = outputs["scores"] if "scores" in outputs else outputs["values"]
    decision = int(np.ravel(outputs["class"])[0]) if "class" in outputs else "-"
    print(decision, *(f"{value:.9g}" for value in np.ravel(numbers)))
