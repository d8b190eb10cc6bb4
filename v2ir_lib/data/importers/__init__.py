"""One small module for each dataset: how to know it on disk, and how its pictures pair."""

from v2ir_lib.data.importers import (
    aviid,
    dronevehicle,
    flir_aligned,
    flir_v1,
    flir_v2,
    infrared,
    ir500k,
    kaist,
    llvip,
    lsotb_tir,
    m3fd,
    msrs,
    paired,
    vtuav,
)

# From the particular to the general: the first that a folder looks like is the best guess.
_MODULES = (
    flir_v2,
    flir_v1,
    flir_aligned,
    kaist,
    llvip,
    ir500k,
    dronevehicle,
    vtuav,
    lsotb_tir,
    aviid,
    msrs,
    m3fd,
    paired,
    infrared,
)
IMPORTERS = {module.IMPORTER.kind: module.IMPORTER for module in _MODULES}
