"""What was found, as maps, tables, polygons and files; of one image, of a folder, of millions of pictures.

Of one image: `label_maps`, `measures`, `polygons`, `coco`, `formats`, `export`. Of a folder:
`folder`, `folder_contents`, `folder_names`, `folder_worker`, `folder_records`; with `chunks`, which keeps
anybody's workers busy, and `begun`, for when they die with the whole process. Of millions, by the same
chunks and workers: `shards`, `sources`, `places`, `manifest`, `shard_files`. `figures` shows what came of it.
"""
