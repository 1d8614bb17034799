"""Faster R-CNN on a pre-trained trunk (not built yet)."""
