"""Label files of other programs, read into and written from `core.labels.Label`.

`authors` is the original programs' `labels.csv`, `dlc` DeepLabCut, `sleap` SLEAP, `images` the
JSON of COCO and Label Studio; `convert` recognises a file. Our own `*.mtj-labels.csv` is
`io.labels`.
"""
