"""Faster R-CNN on a pre-trained trunk."""
