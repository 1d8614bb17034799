"""Records: hierarchy, writer and reader, images, order, generator."""
