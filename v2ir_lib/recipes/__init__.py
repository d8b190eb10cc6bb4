"""How every shipped weight was made: first the stand-ins, then the three phases. Learners can skip this room.

`python -m v2ir_lib.recipes` runs the stages below in order; each is a function that takes a `stage.Run`.
"""

STAGES: dict[str, str] = {  # name -> "module:function", imported only when the stage runs
    "autoencoder": "v2ir_lib.recipes.autoencoder:train_autoencoder",
    "words": "v2ir_lib.recipes.words:train_words",
    "captioner": "v2ir_lib.recipes.captioner:train_captioner",
    "segmenter": "v2ir_lib.recipes.segmenter:train_segmenter",
    "base": "v2ir_lib.recipes.base:train_base",
    "phase1": "v2ir_lib.recipes.phases:train_phase1",
    "phase2": "v2ir_lib.recipes.phases:train_phase2",
    "phase3": "v2ir_lib.recipes.phases:train_phase3",
}
