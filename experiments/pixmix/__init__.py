"""Does PixMix with pictures from formulas make a small model hold out better? See README.md."""
