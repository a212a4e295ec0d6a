"""What was found, as maps, tables, polygons and files; of one image or of a folder.

Of one image: `label_maps`, `measures`, `polygons`, `coco`, `formats`, `export`. Of a folder:
`folder`, `folder_contents`, `folder_worker`, `folder_records`, `folder_names`. `figures` shows both.
"""
