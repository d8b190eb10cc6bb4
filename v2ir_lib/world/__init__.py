"""The embedded data: simulated scenes, aligned across visible light and four infrared bands.

`scene` draws a scene description from a seed, `assemble` turns it into triangles with materials, `trace` lets Mitsuba
find what each pixel sees, `visible` and `infrared` shade it, `cameras` turns radiance into infrared pictures,
`captions` says it in words, and `packs` keeps many of them on disk.
"""

BANDS = ("nir", "swir", "mwir", "lwir")

SETTINGS = ("street", "campus", "residential", "park", "waterside", "parking")
VIEWPOINTS = ("driving", "surveillance", "aerial", "handheld")
TIMES = ("day", "dusk", "night")
WEATHERS = ("clear", "overcast", "fog", "rain")  # "rain": the rain has just stopped, everything is wet
SEASONS = ("summer", "winter")

# Stuff first, then things (what a caption can count and an instance mask numbers).
CLASSES = (
    "sky", "road", "pavement", "grass", "soil", "water", "building", "window", "lamp", "furniture",
    "person", "car", "bus", "truck", "bicycle", "animal", "tree",
)  # fmt: skip
THINGS = ("person", "car", "bus", "truck", "bicycle", "animal", "tree")
CLASS_INDEX = {name: index for index, name in enumerate(CLASSES)}
