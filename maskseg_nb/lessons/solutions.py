"""A solution of each exercise that asks for a function, under its name; `answer` prints it as it stands here.

Each needs nothing but what its notebook imports and the solutions before it.
"""

import cv2
import numpy as np

# 01 The pipeline


def to_rgb(bgr):
    return bgr[:, :, ::-1]


def keep(scores, threshold):
    return np.flatnonzero(scores >= threshold)


def overlay(image, masks, alpha):
    joined = np.zeros_like(image)
    for mask in masks:
        binary = np.where(mask > 0.5, 255, 0).astype(np.uint8)
        joined = np.maximum(joined, np.stack([binary] * 3, axis=-1))
    return cv2.addWeighted(image, 1 - alpha, joined, alpha, 0)


# 02 Inside Mask R-CNN


def iou(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union


def nms(boxes, scores, nms_threshold):
    kept = []
    for row in np.argsort(-scores):
        if all(iou(boxes[row], boxes[other]) <= nms_threshold for other in kept):
            kept.append(row)
    return kept


def decode(anchor, deltas):
    sides = anchor[2:] - anchor[:2]
    center = (anchor[:2] + anchor[2:]) / 2 + deltas[:2] * sides
    half = sides * np.exp(deltas[2:]) / 2
    return np.concatenate([center - half, center + half])


def paste(probs, box, height, width):
    left, top, right, bottom = box
    pasted = np.zeros((height, width))
    pasted[top:bottom, left:right] = cv2.resize(probs, (right - left, bottom - top))
    return pasted


# 03 Thresholds and truth


def mask_iou(a, b):
    return (a & b).sum() / (a | b).sum()


def judge(ious, iou):
    free = np.ones(ious.shape[1], bool)
    right = []
    for row in ious:
        candidates = np.flatnonzero(free & (row >= iou))
        right.append(len(candidates) > 0)
        if len(candidates):
            free[candidates[row[candidates].argmax()]] = False
    return right


def average_precision(right, objects):
    found = np.cumsum(right)
    recall, precision = found / objects, found / np.arange(1, len(found) + 1)
    best = [max(precision[recall >= r], default=0.0) for r in np.linspace(0, 1, 101)]
    return np.mean(best)


# 06 Train your own


def rate(step, steps, warm_up):
    from math import cos, pi

    return min(1, (step + 1) / warm_up) * (1 + cos(pi * step / steps)) / 2


# 07 Semantic maps and export


def label_map(masks):
    painted = np.zeros(masks.shape[1:], np.uint8)
    for index in reversed(range(len(masks))):
        painted[masks[index]] = index + 1
    return painted


def polygon_area(corners):
    x, y = corners.T
    return abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2


# 08 Many images


def machines_for(pictures, rate, hours):
    from math import ceil

    return ceil(pictures / (rate * hours * 3600))
