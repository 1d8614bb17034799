"""Public label spaces: Tencent ML-Images, Open Images, WordNet."""
