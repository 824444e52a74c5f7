"""Cuts, lumi masks and the cutflow. Pure functions of arrays."""

from __future__ import annotations

from intccms.selection.cutflow import Cutflow
from intccms.selection.masks import named_masks, object_mask

__all__ = ["Cutflow", "named_masks", "object_mask"]
