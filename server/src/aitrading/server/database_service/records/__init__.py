"""Records of the stores for people who operate: which there are, and one page after the other."""
