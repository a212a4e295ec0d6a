"""What goes in: images and their ground truth.

Read `images` first, then `samples`, `truth`, `datasets`, `shapes`. Files on their way in: `picture_files`,
`codec`, `pixels`, `heif_boxes`. Datasets in COCO's format: `coco`, `coco_json`, `coco_categories`,
`coco_pictures`, `coco_turns`, `coco_annotations`, `outlines`, `rle`, `findings`, `checked_dataset`,
`coco_writer`.
"""
