"""DeepLab-ASPP-L on a pre-trained trunk."""
