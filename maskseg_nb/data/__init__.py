"""What goes in: images and their ground truth.

Read `images` first, then `samples`, `truth`, `datasets`, `shapes`. Files on their way in: `picture_files`,
`codec`, `turning`, `pixels`, `heif_boxes`. Datasets in COCO's format: `coco`, `coco_file`, `coco_pictures`,
`coco_annotations`, `coco_reading`, `outlines`, `coco_turns`, `findings`, `checked_dataset`, `coco_writer`.
"""
