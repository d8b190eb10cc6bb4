"""Miniatures of the datasets' true layouts: the folders, names and quirks of the real ones, small pictures."""

import json
from pathlib import Path

import numpy as np
from PIL import Image


def picture(path: Path, size: tuple[int, int] = (32, 24), mode: str = "RGB", grey: int = 90) -> Path:
    """Write a picture of one colour, with one pixel that makes the file different from others of another grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, grey if mode in ("L", "I;16") else (grey, grey // 2, 30)).save(path)
    return path


def deep(path: Path, values: np.ndarray) -> Path:
    """Write raw values (H, W) as a 16-bit file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint16)).save(path)
    return path


def ramp(low: int, high: int) -> np.ndarray:
    """Raw values of 32×32 pixels, evenly from low to high."""
    return np.linspace(low, high, 1024).round().reshape(32, 32)


def flir_v1_2018(root: Path) -> Path:
    """Pairs 1 and 2, no visible picture for 3; three RGB sizes; lower-case `rgb` and .jpeg in the video."""
    for part, numbers in (("Training", (1, 2, 3)), ("Validation", (8863,)), ("Video", (1, 2))):
        for n in numbers:
            picture(root / part / "PreviewData" / f"FLIR_{n:05d}.jpeg", mode="L", grey=n % 200)
            deep(root / part / "Data" / f"FLIR_{n:05d}.tiff", ramp(7000 + n % 100, 8000))
    picture(root / "Training/RGB/FLIR_00001.jpg", (90, 80))
    picture(root / "Training/RGB/FLIR_00002.jpg", (64, 51))
    picture(root / "Validation/RGB/FLIR_08863.jpg", (64, 26))
    for n in (1, 2):
        picture(root / "Video/rgb" / f"FLIR_{n:05d}.jpeg", grey=n)
    (root / "Training" / "catids.json").write_text("{}")
    return root


def flir_v1_3(root: Path) -> Path:
    """train, val and video with thermal_8_bit, an empty thermal_16_bit, RGB; one visible picture alone."""
    for part, n in (("train", 7), ("val", 8900), ("video", 20)):
        picture(root / part / "thermal_8_bit" / f"FLIR_{n:05d}.jpeg", mode="L")
        picture(root / part / "RGB" / f"FLIR_{n:05d}.jpg")
        (root / part / "thermal_16_bit").mkdir()
    picture(root / "train/RGB/FLIR_00099.jpg")
    return root


def flir_v2(root: Path) -> Path:
    """Training thermal of two videos, its visible pictures apart; a map with two pairs, a third claim, and a gap."""
    for name in ("video-aB3-frame-000010-x1", "video-aB3-frame-000011-x2", "video-c-D-frame-000000-x3"):
        picture(root / "images_thermal_train/data" / f"{name}.jpg", mode="L")
    deep(root / "images_thermal_train/analyticsData/video-aB3-frame-000010-x1.tiff", ramp(20000, 30000))
    picture(root / "images_thermal_train/analyticsData/video-aB3-frame-000011-x2.tiff", mode="L")  # "16-bit"
    picture(root / "images_thermal_val/data/video-v-frame-000001-x4.jpg", mode="L")
    picture(root / "images_rgb_train/data/video-other-frame-000010-y1.jpg")
    pairs = {}
    for n in (1, 2):
        picture(root / "video_rgb_test/data" / f"video-R-frame-00000{n}-r{n}.jpg", (48, 40))
        picture(root / "video_thermal_test/data" / f"video-T-frame-00010{n}-t{n}.jpg", mode="L")
        pairs[f"video-R-frame-00000{n}-r{n}.jpg"] = f"video-T-frame-00010{n}-t{n}.jpg"
    picture(root / "video_rgb_test/data/video-R-frame-000009-r9.jpg")
    picture(root / "video_rgb_test/data/video-R-frame-000003-r3.jpg")
    pairs["video-R-frame-000003-r3.jpg"] = "video-T-frame-000102-t2.jpg"
    pairs["video-R-frame-000077-gone.jpg"] = "video-T-frame-000177-gone.jpg"
    (root / "rgb_to_thermal_vid_map.json").write_text(json.dumps(pairs))
    return root


def flir_aligned(root: Path) -> Path:
    """Lists name pictures with `_PreviewData` (training) and without (validation); one pair is in none."""
    for n in (2, 3, 8864):
        picture(root / "align/JPEGImages" / f"FLIR_{n:05d}_RGB.jpg")
        picture(root / "align/JPEGImages" / f"FLIR_{n:05d}_PreviewData.jpeg", mode="L")
    picture(root / "align/JPEGImages/FLIR_00500_RGB.jpg")
    (root / "align/align_train.txt").write_text("FLIR_00002_PreviewData\nFLIR_04444_PreviewData\n")
    (root / "align/align_validation.txt").write_text("FLIR_08864\n")
    (root / "align/Annotations").mkdir()
    return root


def kaist(root: Path) -> Path:
    """A day training set with seven frames, a night test set with one; 640×512 as on disk."""
    for n in range(7):
        picture(root / "set00/V000/visible" / f"I{n:05d}.jpg", (64, 51))
        picture(root / "set00/V000/lwir" / f"I{n:05d}.jpg", (64, 51))
    picture(root / "set09/V001/visible/I00000.jpg", (64, 51))
    picture(root / "set09/V001/lwir/I00000.jpg", (64, 51))
    picture(root / "set09/V001/lwir/I00001.jpg", (64, 51))
    return root


def kaist_flat(root: Path) -> Path:
    """The flat variant; one frame has no thermal picture."""
    for side in ("visible", "lwir"):
        picture(root / f"set03_V000_I00019_{side}.png")
        picture(root / f"set06_V002_I00039_{side}.png")
    picture(root / "set06_V002_I00059_visible.png")
    return root


def llvip(root: Path) -> Path:
    """Scenes 01 and 19; infrared is grey in three channels."""
    for split, names in (("train", ("010001", "010002")), ("test", ("190001",))):
        for name in names:
            picture(root / "visible" / split / f"{name}.jpg", (64, 51))
            Image.new("L", (64, 51), 70).convert("RGB").save(_made(root / "infrared" / split / f"{name}.jpg"))
    picture(root / "visible/test/190002.jpg")
    (root / "Annotations").mkdir()
    return root


def m3fd(root: Path) -> Path:
    """Both parts, two sizes; 00001 in both."""
    for side, mode in (("Ir", "L"), ("Vis", "RGB")):
        picture(root / "M3FD_Detection" / side / "00001.png", (64, 48), mode)
        picture(root / "M3FD_Detection" / side / "00002.png", (50, 40), mode)
        picture(root / "M3FD_Fusion" / side / "00001.png", (64, 48), mode)
    picture(root / "M3FD_Detection/Ir/00003.png", mode="L")
    (root / "M3FD_Detection/Annotation").mkdir()
    return root


def m3fd_variant(root: Path) -> Path:
    """{ir, vi} in the root itself, called Fusion."""
    for side, mode in (("ir", "L"), ("vi", "RGB")):
        picture(root / side / "00719.png", mode=mode)
    return root


def msrs(root: Path) -> Path:
    """Day and night; the label folder of the release."""
    for split, names in (("train", ("00001D", "00003N")), ("test", ("00004N",))):
        for name in names:
            picture(root / split / "vi" / f"{name}.png")
            picture(root / split / "ir" / f"{name}.png", mode="L", grey=20)
            picture(root / split / "Segmentation_labels" / f"{name}.png", mode="L")
    picture(root / "test/ir/00009D.png", mode="L")
    return root


def dronevehicle(root: Path) -> Path:
    """840×712 with a white frame; in validation a copy without it."""
    for side, grey in (("trainimg", 80), ("trainimgr", 120)):
        framed = Image.new("RGB", (840, 712), "white")
        framed.paste((grey, grey, grey), (100, 100, 740, 612))
        framed.save(_made(root / "train" / side / "00001.jpg"), quality=95)
    for side in ("valimg", "valimgr"):
        picture(root / "val" / side / "00001.jpg", (640, 512))
    picture(root / "test/testimg/00001.jpg")
    (root / "test/testimgr").mkdir()
    (root / "train/trainlabel").mkdir()
    return root


def vtuav(root: Path) -> Path:
    """Names of the two cameras disagree; pedestrian_040 stands in two parts; one list is longer."""
    for part, sequence, starts, frames in (
        ("train_ST_001", "pedestrian_040", (0, 5), (3, 3)),
        ("train_ST_007", "pedestrian_040", (3, 8), (2, 3)),
        ("test_ST_001", "car_002", (0, 0), (1, 1)),
    ):
        for side, start, count in zip(("rgb", "ir"), starts, frames, strict=True):
            for n in range(start, start + count):
                picture(root / part / sequence / side / f"{n:06d}.jpg", grey=50 + n)
        (root / part / sequence / "rgb.txt").write_text("1 2 3 4")
    return root


def lsotb_tir(root: Path) -> Path:
    """Two sequences in two parts, and an evaluation set of which we do not know the layout."""
    training = root / "Training Dataset" / "TrainingData"
    for n in (1, 2, 10):
        picture(training / "TIR_training_001/airplane_1" / f"{n}.jpg", mode="L", grey=n)
    picture(training / "TIR_training_002/dog_7/00000001.jpg", mode="L")
    picture(root / "Evaluation Dataset/boy_S_001/img/00001.jpg", mode="L")
    return root


def aviid(root: Path) -> Path:
    """Parts 1 and 3, folders called differently; infrared channels that differ."""
    for split in ("train", "test"):
        picture(root / "AVIID-1" / split / "visible/1.png", (434, 434))
        Image.new("RGB", (434, 434), (100, 104, 108)).save(_made(root / "AVIID-1" / split / "infrared/1.png"))
    picture(root / "AVIID-3/rgb/5.jpg")
    picture(root / "AVIID-3/ir/5.jpg")
    return root


IR_500K = (
    "kaist_set00_V003_I00120",
    "kaist_set09_V000_I00001",
    "LLVIP_190023",
    "visdrone_train_00007",
    "DUTUAV_pedestrian_040_000450",
    "FLIR_00042",
    "MSRS_00010N",
    "AVIID1_1",
    "something_else",
    "kaist_set00_V003_I00140",
)


def ir_500k(root: Path) -> Path:
    """One name of each prefix; 18 more make the list 28 long, so that the test share is not empty."""
    for name in IR_500K:
        for side in ("rgb", "ir", "seg"):
            picture(root / side / f"{name}.png")
    (root / "seg/FLIR_00042.png").unlink()
    picture(root / "rgb/kaist_set01_V000_I00000.png")
    for side in ("rgb", "ir"):
        picture(root / side / "FLIR_09999.png")
    filler = [[f"gone_{n}.png"] for n in range(18)]
    listed = [[f"{name}.png"] for name in IR_500K]
    (root / "seeds.json").write_text(json.dumps(listed[:8] + filler + listed[8:]))
    return root


def paired(root: Path) -> Path:
    """Spaces, Unicode, an upper-case suffix, another case of a name; a sub-folder, a split, files without partner."""
    picture(root / "Visible/a street.JPG")
    picture(root / "Visible/Straße 夜.png")
    picture(root / "Visible/UPPER.png")
    picture(root / "Visible/alone.jpg")
    picture(root / "Visible/train/walk/0001.png")
    picture(root / "THERMAL/a street.png", mode="L")
    picture(root / "THERMAL/Straße 夜.TIF", mode="L")
    picture(root / "THERMAL/upper.png", mode="L")
    picture(root / "THERMAL/lonely.bmp", mode="L")
    picture(root / "THERMAL/train/walk/0001.PNG", mode="L")
    (root / "Visible/.DS_Store").write_text("no picture")
    (root / "Visible/notes.txt").write_text("no picture either")
    return root


def infrared(root: Path) -> Path:
    """One picture in the root, two in a sub-folder."""
    picture(root / "single.PNG", mode="L")
    picture(root / "flight 1/0001.jpg", mode="L")
    picture(root / "flight 1/0002.jpg", mode="L")
    return root


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


# kind, miniature, what its root folder is called
ALL = (
    ("flir-v1", flir_v1_2018, "FLIR_ADAS"),
    ("flir-v1", flir_v1_3, "FLIR_ADAS_1_3"),
    ("flir-v2", flir_v2, "FLIR_ADAS_v2"),
    ("flir-aligned", flir_aligned, "aligned"),
    ("kaist", kaist, "kaist-rgbt"),
    ("kaist", kaist_flat, "kaist_flat"),
    ("llvip", llvip, "LLVIP"),
    ("m3fd", m3fd, "M3FD"),
    ("m3fd", m3fd_variant, "M3FD_Fusion"),
    ("msrs", msrs, "MSRS"),
    ("dronevehicle", dronevehicle, "DroneVehicle"),
    ("vtuav", vtuav, "VTUAV"),
    ("lsotb-tir", lsotb_tir, "LSOTB-TIR"),
    ("aviid", aviid, "AVIID"),
    ("ir-500k", ir_500k, "IR-500K"),
    ("paired", paired, "own pairs"),
    ("infrared", infrared, "own infrared"),
)
