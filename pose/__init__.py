"""G-RMI person pose on a pre-trained trunk (not built yet)."""
