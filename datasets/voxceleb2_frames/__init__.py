"""Multi-frame images of VoxCeleb2's people; see the README beside this file."""
