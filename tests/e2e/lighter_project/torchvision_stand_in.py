"""torchvision, as far as lighter's callbacks use it: to put pixels into a PNG.

PyPI has the real one for CUDA alone, which a torch for processors cannot load. The pixels
are lighter's own; PNG does not change them.
"""

import sys
import types

from PIL import Image


def write_png(pixels, path):
    rows = pixels[0] if len(pixels) == 1 else pixels.permute(1, 2, 0)
    Image.fromarray(rows.numpy()).save(path)


sys.modules["torchvision"] = types.ModuleType("torchvision")
sys.modules["torchvision"].io = types.SimpleNamespace(write_png=write_png)
